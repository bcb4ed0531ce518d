/** The signals that ask a process to end, and what else does: the end of npm's shell. */
import { whenOrphaned } from './orphan.ts'

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
export type StopSignal = (typeof STOP_SIGNALS)[number]

/** What is sent to all processes of a group npm passes on once more: a signal that soon after the first is no second one. */
const SAME_MS = 1000

/**
 * @param first is called once. The end of npm's shell counts as SIGTERM, unless a signal, which may have ended the shell too,
 *   was there before.
 * @param again is called for every later signal: the user does not want to wait.
 */
export function onStopSignals(
  first: (signal: StopSignal) => void,
  again: (signal: StopSignal) => void,
): void {
  let firstAt: number | undefined
  const begin = (signal: StopSignal) => {
    firstAt = performance.now()
    first(signal)
  }
  for (const signal of STOP_SIGNALS)
    process.on(signal, () => {
      if (firstAt === undefined) begin(signal)
      else if (performance.now() - firstAt > SAME_MS) again(signal)
    })
  whenOrphaned(() => {
    if (firstAt === undefined) begin('SIGTERM')
  })
}
