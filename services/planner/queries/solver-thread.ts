/**
 * Solves short questions on the calling thread, in milliseconds, and long ones on a worker thread, so that a map of 10,000
 * cells never delays a plan query. Work that exceeds its time limit is ended with its thread; the next work starts another.
 */
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import { WorkThread } from '../../../shared/platform/threads/work-thread.ts'
import { isLong, type Solutions, solveWithin, type Work } from './solve.ts'

export interface SolverOptions {
  /** ms on the calling thread; a question that takes longer starts again on the worker thread. @defaultValue 40 */
  inPlaceMs?: number
  /** Maximum ms for one piece of work, from its start. @defaultValue 120000 */
  longestMs?: number
  /** Questions that may wait for the worker thread; further ones are refused. @defaultValue 16 */
  maxPieces?: number
  /** ms without work after which the thread ends and its memory is freed. @defaultValue 10000 */
  idleMs?: number
  /** The module that the thread runs. @defaultValue solve-worker.ts */
  entry?: URL
}

const ownEntry = threadModule(new URL('./solve-worker.ts', import.meta.url))

export class SolverThread {
  readonly #inPlaceMs: number
  readonly #thread: WorkThread<Work, Solutions[Work['kind']]>

  constructor(options: SolverOptions = {}) {
    const { inPlaceMs = 40, longestMs = 120_000, maxPieces = 16, idleMs = 10_000 } = options
    this.#inPlaceMs = inPlaceMs
    const late = `the question was not answered within ${longestMs / 1000} s; ask for less, or give timeLimitMs`
    this.#thread = new WorkThread({
      entry: options.entry ?? ownEntry,
      name: 'the solver thread',
      maxPieces,
      busy: (waiting) => `${waiting} long questions are being worked on; ask again soon`,
      longest: { ms: longestMs, message: late },
      idleMs,
    })
  }

  get running(): boolean {
    return this.#thread.running
  }

  /** @throws ScissionError as the optimiser does; overloaded; deadlineExceeded. */
  async solve<K extends Work['kind']>(work: Extract<Work, { kind: K }>): Promise<Solutions[K]> {
    const atOnce = isLong(work) ? undefined : solveWithin(this.#inPlaceMs, work)
    // `solve` returns the solution type of the work's kind.
    return (atOnce ?? (await this.#thread.run(work))) as Solutions[K]
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }
}
