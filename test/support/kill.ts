/** Signals for processes of the tests. */

/**
 * A process that was never started has no pid, and 0 in its place would be the test's own process group.
 * @throws Error if there is no such process.
 */
export function kill({ pid }: { pid?: number | undefined }, signal: NodeJS.Signals = 'SIGKILL'): void {
  if (pid === undefined) throw new Error('the process was not started')
  process.kill(pid, signal)
}

/** The same for all processes of the group that it leads. */
export const killGroup = ({ pid }: { pid?: number | undefined }, signal?: NodeJS.Signals): void =>
  kill({ pid: pid === undefined ? undefined : -pid }, signal)
