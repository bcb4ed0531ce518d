/**
 * Solves in place what takes milliseconds and in a thread of its own what may take seconds, so that a map of 10,000
 * cells never stands before a plan query. Work that outlasts its time ends with the thread; the next work starts another.
 */
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import { WorkThread } from '../../../shared/platform/threads/work-thread.ts'
import { isLong, type Solutions, solveWithin, type Work } from './solve.ts'

export interface SolverOptions {
  /** @defaultValue 40: what looked short and takes longer begins anew in the thread. */
  inPlaceMs?: number
  /** @defaultValue 120000: most time for one piece of work, from its start. */
  longestMs?: number
  /** @defaultValue 16: work beyond this is refused. */
  maxPieces?: number
  /** @defaultValue 10000: the thread and its memory are kept for so long without work. */
  idleMs?: number
  /** @defaultValue the solver's own: module that the thread runs. */
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
    // The answer is of the kind that was asked for.
    return (atOnce ?? (await this.#thread.run(work))) as Solutions[K]
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }
}
