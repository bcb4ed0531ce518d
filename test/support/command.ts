/** Commands as a user runs them: in a process of their own, to its end. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { text } from 'node:stream/consumers'

/** The command line as a user has it: `node SCISSION …` is what `npx scission …` runs. */
export const SCISSION = path.resolve('infra/cli/scission.mjs')

export interface Ran {
  /** Exit code; null if a signal ended it. */
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/**
 * Runs `node ARGUMENTS`. The event loop goes on meanwhile, so that Vitest still hears of this worker.
 * @throws Error if the process cannot be started.
 */
export async function runNode(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Ran> {
  const child = spawn(process.execPath, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'close') as Promise<[Ran['code'], Ran['signal']]>
  const [stdout, stderr, [code, signal]] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { code, signal, stdout, stderr }
}
