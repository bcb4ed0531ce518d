/**
 * A thread of its own for work that would hold up the event loop: one piece after another, in order. It starts with the
 * first piece and may end when it had nothing to do for a while. What waits is bounded, and nothing is begun for somebody
 * who left. If the thread dies, what it was doing fails; what waits gets another.
 */
import { type TransferListItem, Worker } from 'node:worker_threads'
import { coerceError, type ErrorCode, ScissionError } from '../errors.ts'

export interface WorkMessage<Work> {
  id: number
  work: Work
}
export type WorkReport<Result> =
  | { id: number; result: Result }
  | {
      id: number
      failure: { code: ErrorCode; message: string; details: Record<string, unknown> | undefined }
    }

export interface WorkThreadOptions {
  /** Module that the thread runs: `threadModule(...)` of one that calls `serveWork`. */
  entry: URL
  /** Given to that module. */
  data?: unknown
  /** In errors: "the thread that packs tensors". */
  name: string
  /** Work beyond this, the piece under way included, is refused. */
  mostWaiting: number
  /** The refusal, and what to do. */
  busy: (waiting: number) => string
  /** Most time for one piece, from its start, and what is said of one that takes longer. @defaultValue no limit */
  longest?: { ms: number; message: string }
  /** The thread and its memory are kept for so long without work. @defaultValue for ever */
  idleMs?: number
}

export interface WorkOptions {
  /** Moves to the thread when the work begins. */
  transfer?: readonly TransferListItem[]
  /** Aborted while it waits: never begun. While it is under way: nobody is told how it ended. */
  signal?: AbortSignal | undefined
}

interface Waiting<Work, Result> extends WorkOptions {
  message: WorkMessage<Work>
  resolve: (result: Result) => void
  reject: (error: Error) => void
  onAbort: () => void
}

export class WorkThread<Work, Result> {
  readonly #options: WorkThreadOptions
  /** The first is under way. */
  readonly #waiting: Waiting<Work, Result>[] = []
  #worker: Worker | undefined
  #timer: NodeJS.Timeout | undefined
  #lastId = 0

  constructor(options: WorkThreadOptions) {
    this.#options = options
  }

  get running(): boolean {
    return this.#worker !== undefined
  }

  /**
   * @throws ScissionError as the work does; overloaded; cancelled (the signal, or `close`); deadlineExceeded; internal when
   *   the thread dies.
   */
  async run(work: Work, options: WorkOptions = {}): Promise<Result> {
    if (this.#waiting.length >= this.#options.mostWaiting)
      throw new ScissionError('overloaded', this.#options.busy(this.#waiting.length))
    if (options.signal?.aborted) throw left()
    this.#lastId += 1
    const message = { id: this.#lastId, work }
    const result = new Promise<Result>((resolve, reject) => {
      const onAbort = () => this.#leave(message.id)
      this.#waiting.push({ ...options, message, resolve, reject, onAbort })
      options.signal?.addEventListener('abort', onAbort, { once: true })
    })
    if (this.#waiting.length === 1) this.#next()
    return result
  }

  /** What waits is refused. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    const error = new ScissionError('cancelled', 'the service is stopping')
    for (const waiting of this.#waiting.splice(0)) settled(waiting).reject(error)
    await this.#stop()
  }

  #next(): void {
    clearTimeout(this.#timer)
    const { longest, idleMs } = this.#options
    const first = this.#waiting[0]
    if (first && !this.#begin(first)) return
    if (first && longest) this.#after(longest.ms, () => this.#giveUp(longest.message))
    if (!first && idleMs !== undefined) this.#after(idleMs, () => void this.#stop())
  }

  /** @returns false when it could not be sent; what waits behind it has been begun then. */
  #begin({ message, transfer = [] }: Waiting<Work, Result>): boolean {
    this.#worker ??= this.#start()
    try {
      this.#worker.postMessage(message, [...transfer])
      return true
    } catch (thrown) {
      // A buffer that moved elsewhere meanwhile.
      this.#settle({ id: message.id, failure: { code: 'internal', ...pick(coerceError(thrown)) } })
      return false
    }
  }

  #after(ms: number, then: () => void): void {
    this.#timer = setTimeout(then, ms)
    this.#timer.unref()
  }

  #start(): Worker {
    const worker = new Worker(this.#options.entry, { workerData: this.#options.data })
    // The service decides how long the process lives.
    worker.unref()
    worker.on('message', (report: WorkReport<Result>) => this.#settle(report))
    worker.on('error', (error) => this.#lost(worker, error))
    worker.on('exit', () => this.#lost(worker, undefined))
    return worker
  }

  #settle(report: WorkReport<Result>): void {
    const first = this.#waiting[0]
    if (first?.message.id !== report.id) return
    this.#waiting.shift()
    const { resolve, reject } = settled(first)
    if ('result' in report) resolve(report.result)
    else {
      const { code, message, details } = report.failure
      reject(new ScissionError(code, message, details))
    }
    this.#next()
  }

  /** What is under way stays the first until the thread is free; its end tells nobody. */
  #leave(id: number): void {
    const at = this.#waiting.findIndex(({ message }) => message.id === id)
    const waiting = this.#waiting[at]
    if (!waiting) return
    if (at > 0) this.#waiting.splice(at, 1)
    waiting.reject(left())
  }

  #giveUp(message: string): void {
    this.#fail(new ScissionError('deadlineExceeded', message))
  }

  #lost(worker: Worker, cause: Error | undefined): void {
    if (this.#worker !== worker) return
    const why = cause ? `: ${cause.message}` : ''
    const message = `${this.#options.name} ended${why}; send the request again`
    this.#fail(new ScissionError('internal', message, undefined, cause))
  }

  /** What is under way fails; what waits behind it gets a new thread. */
  #fail(error: ScissionError): void {
    void this.#stop()
    const first = this.#waiting.shift()
    if (first) settled(first).reject(error)
    this.#next()
  }

  async #stop(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }
}

const pick = ({ message }: Error) => ({ message, details: undefined })

const left = () => new ScissionError('cancelled', 'the client left before its request was worked on')

function settled<Work, Result>(waiting: Waiting<Work, Result>): Waiting<Work, Result> {
  waiting.signal?.removeEventListener('abort', waiting.onAbort)
  return waiting
}
