/** The child's side of limited-child.ts: imports the given module, runs it once, reports its output and ends. */
import { coerceError, ScissionError } from '../errors.ts'
import type { ChildMessage } from './limited-child.ts'

interface Job {
  run: (input: unknown, report: (progress: unknown) => void) => Promise<unknown>
}

function send(message: ChildMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(message, undefined, {}, (error) => (error ? reject(error) : resolve()))
  })
}

async function main(): Promise<void> {
  const [, , module] = process.argv
  if (!module || !process.send) throw new Error('started by hand: this file is the child of limited-child.ts')
  process.on('disconnect', () => process.exit(1))
  const job = (await import(module)) as Job
  const input = await new Promise((resolve) => {
    process.once('message', (message: { input: unknown }) => resolve(message.input))
    send({ kind: 'ready' }).catch(die)
  })
  const output = await job.run(input, (progress) => {
    send({ kind: 'progress', progress }).catch(die)
  })
  await send({ kind: 'output', output })
}

/** Ends without a report: the parent is gone. */
function die(): void {
  process.exit(1)
}

main().catch(async (thrown: unknown) => {
  const error = coerceError(thrown)
  const known = error instanceof ScissionError ? error : undefined
  const { message, stack } = error
  await send({ kind: 'error', message, code: known?.code, details: known?.details, stack }).catch(die)
})
