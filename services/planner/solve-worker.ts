/** The solver thread itself: one piece of work after another. */
import { parentPort } from 'node:worker_threads'
import { toScissionError } from '../../shared/http/errors.ts'
import { solve } from './solve.ts'
import type { Job, Report } from './solver-thread.ts'

const port = parentPort
port?.on('message', ({ id, work }: Job) => {
  try {
    port.postMessage({ id, solution: solve(work) } satisfies Report)
  } catch (error) {
    const { code, message, details } = toScissionError(error)
    port.postMessage({ id, failure: { code, message, details } } satisfies Report)
  }
})
