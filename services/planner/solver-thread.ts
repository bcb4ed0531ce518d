/**
 * Solves in place what takes milliseconds and in a thread of its own what may take seconds, so that a map of 10,000
 * cells never stands before a plan query. The thread starts with the first long work and ends when it had nothing to
 * do for a while. Work that outlasts its time ends with the thread; the next work starts another.
 */
import { Worker } from 'node:worker_threads'
import { threadModule } from '../../shared/child-module.ts'
import { type ErrorCode, ScissionError } from '../../shared/errors.ts'
import { isLong, type Solutions, solveWithin, type Work } from './solve.ts'

export interface Job {
  id: number
  work: Work
}
export type Report =
  | { id: number; solution: Solutions[Work['kind']] }
  | {
      id: number
      failure: { code: ErrorCode; message: string; details: Record<string, unknown> | undefined }
    }

interface Waiting {
  job: Job
  resolve: (solution: Solutions[Work['kind']]) => void
  reject: (error: Error) => void
}

export interface SolverOptions {
  /** @defaultValue 40: what looked short and takes longer begins anew in the thread. */
  inPlaceMs?: number
  /** @defaultValue 120000: most time for one piece of work, from its start. */
  longestMs?: number
  /** @defaultValue 16: work beyond this is refused. */
  mostWaiting?: number
  /** @defaultValue 10000: the thread and its memory are kept for so long without work. */
  idleMs?: number
  /** @defaultValue the solver's own: module that the thread runs. */
  entry?: URL
}

const ownEntry = threadModule(new URL('./solve-worker.ts', import.meta.url))

export class SolverThread {
  readonly #inPlaceMs: number
  readonly #longestMs: number
  readonly #mostWaiting: number
  readonly #idleMs: number
  readonly #entry: URL
  /** The first is under way. */
  readonly #waiting: Waiting[] = []
  #worker: Worker | undefined
  #timer: NodeJS.Timeout | undefined
  #lastId = 0

  constructor(options: SolverOptions = {}) {
    const { inPlaceMs = 40, longestMs = 120_000, mostWaiting = 16, idleMs = 10_000 } = options
    const { entry = ownEntry } = options
    this.#inPlaceMs = inPlaceMs
    this.#longestMs = longestMs
    this.#mostWaiting = mostWaiting
    this.#idleMs = idleMs
    this.#entry = entry
  }

  get running(): boolean {
    return this.#worker !== undefined
  }

  /** @throws ScissionError as the optimiser does; overloaded; deadlineExceeded. */
  async solve<K extends Work['kind']>(work: Extract<Work, { kind: K }>): Promise<Solutions[K]> {
    const atOnce = isLong(work) ? undefined : solveWithin(this.#inPlaceMs, work)
    // The answer is of the kind that was asked for.
    return (atOnce ?? (await this.#post(work))) as Solutions[K]
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    const error = new ScissionError('cancelled', 'the planner is shutting down')
    for (const { reject } of this.#waiting.splice(0)) reject(error)
    await this.#stop()
  }

  #post(work: Work): Promise<Solutions[Work['kind']]> {
    if (this.#waiting.length >= this.#mostWaiting)
      throw new ScissionError(
        'overloaded',
        `${this.#waiting.length} long questions are being worked on; ask again soon`,
      )
    this.#lastId += 1
    const job = { id: this.#lastId, work }
    const solution = new Promise<Solutions[Work['kind']]>((resolve, reject) =>
      this.#waiting.push({ job, resolve, reject }),
    )
    if (this.#waiting.length === 1) this.#next()
    return solution
  }

  #next(): void {
    clearTimeout(this.#timer)
    const first = this.#waiting[0]
    if (first) {
      this.#worker ??= this.#start()
      this.#worker.postMessage(first.job, [])
    }
    const [wait, end] = first
      ? [this.#longestMs, () => this.#giveUp()]
      : [this.#idleMs, () => void this.#stop()]
    this.#timer = setTimeout(end, wait)
    this.#timer.unref()
  }

  #start(): Worker {
    const worker = new Worker(this.#entry)
    // The service decides how long the process lives.
    worker.unref()
    worker.on('message', (report: Report) => this.#settle(report))
    worker.on('error', (error) => this.#lost(worker, error))
    worker.on('exit', () => this.#lost(worker, undefined))
    return worker
  }

  #settle(report: Report): void {
    const first = this.#waiting[0]
    if (first?.job.id !== report.id) return
    this.#waiting.shift()
    if ('solution' in report) first.resolve(report.solution)
    else {
      const { code, message, details } = report.failure
      first.reject(new ScissionError(code, message, details))
    }
    this.#next()
  }

  #giveUp(): void {
    const seconds = this.#longestMs / 1000
    const message = `the question was not answered within ${seconds} s; ask for less, or give timeLimitMs`
    this.#fail(new ScissionError('deadlineExceeded', message))
  }

  #lost(worker: Worker, cause: Error | undefined): void {
    if (this.#worker !== worker) return
    const why = cause ? `: ${cause.message}` : ''
    this.#fail(new ScissionError('internal', `the solver thread ended${why}`, undefined, cause))
  }

  /** What is under way fails; what waits behind it gets a new thread. */
  #fail(error: ScissionError): void {
    void this.#stop()
    this.#waiting.shift()?.reject(error)
    this.#next()
  }

  async #stop(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }
}
