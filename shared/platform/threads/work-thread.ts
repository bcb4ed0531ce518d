/**
 * A worker thread for work that would block the event loop: one piece after another, in order. It starts with the first
 * piece and may end after a time without work. The queue is bounded, and a piece whose caller has left is not begun. If
 * the thread dies, the piece in progress fails and the waiting ones get a new thread.
 *
 * Not piscina 5.3.2, measured beside it (Node 20, 2 busy cores, 60 interleaved rounds, four runs; medians of the paired
 * ratios, piscina over this): an empty piece there and back 1.03 to 1.15, 1 MiB moved there and back 0.99 to 1.15. A
 * piece whose caller leaves while it is in progress ends a piscina worker, so the next piece waits for a new thread:
 * 279 ms instead of 4. It has no time limit that begins with the piece, and errors lose their code on the way.
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
  /** `workerData` of that module. */
  data?: unknown
  /** Name in errors: "the thread that packs tensors". */
  name: string
  /** Most pieces at a time, the one in progress included; further ones are refused. */
  maxPieces: number
  /** Message of the refusal; says what to do. */
  busy: (waiting: number) => string
  /** Time limit of a piece from its start, and the message of the error if it takes longer. @defaultValue no limit */
  longest?: { ms: number; message: string }
  /** The thread ends after this time without work. @defaultValue never */
  idleMs?: number
}

export interface WorkOptions {
  /** Buffers to move to the thread; they move when the work begins. */
  transfer?: readonly TransferListItem[]
  /** Aborted while the piece waits: it is not begun. Aborted while it is in progress: its result is dropped. */
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
  /** The first is in progress. */
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
   * @throws ScissionError as the work does; overloaded; cancelled (by the signal or `close`); deadlineExceeded; internal
   *   if the thread dies.
   */
  async run(work: Work, options: WorkOptions = {}): Promise<Result> {
    if (this.#waiting.length >= this.#options.maxPieces)
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

  /** Ends the thread; the piece in progress and the waiting ones fail. */
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
    if (first && longest)
      this.#after(longest.ms, () => this.#fail(new ScissionError('deadlineExceeded', longest.message)))
    if (!first && idleMs !== undefined) this.#after(idleMs, () => void this.#stop())
  }

  /** @returns false if the piece could not be sent; the next one has been begun then. */
  #begin({ message, transfer = [] }: Waiting<Work, Result>): boolean {
    this.#worker ??= this.#start()
    try {
      this.#worker.postMessage(message, [...transfer])
      return true
    } catch (thrown) {
      // A buffer of it has been moved elsewhere in the meantime.
      const failure = { code: 'internal' as const, message: coerceError(thrown).message, details: undefined }
      this.#settle({ id: message.id, failure })
      return false
    }
  }

  #after(ms: number, then: () => void): void {
    this.#timer = setTimeout(then, ms)
    this.#timer.unref()
  }

  #start(): Worker {
    const worker = new Worker(this.#options.entry, { workerData: this.#options.data })
    // The thread does not keep the process alive.
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

  /** A piece in progress stays the first until the thread is free; its result is dropped. */
  #leave(id: number): void {
    const at = this.#waiting.findIndex(({ message }) => message.id === id)
    const waiting = this.#waiting[at]
    if (!waiting) return
    if (at > 0) this.#waiting.splice(at, 1)
    waiting.reject(left())
  }

  #lost(worker: Worker, cause: Error | undefined): void {
    if (this.#worker !== worker) return
    const why = cause ? `: ${cause.message}` : ''
    const message = `${this.#options.name} ended${why}; send the request again`
    this.#fail(new ScissionError('internal', message, undefined, cause))
  }

  /** Fails the piece in progress; the waiting ones get a new thread. */
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

const left = () => new ScissionError('cancelled', 'the client left before its request was worked on')

function settled<Work, Result>(waiting: Waiting<Work, Result>): Waiting<Work, Result> {
  waiting.signal?.removeEventListener('abort', waiting.onAbort)
  return waiting
}
