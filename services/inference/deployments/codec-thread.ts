/**
 * A thread for codecs: packing a megabyte takes milliseconds, which neither requests that wait for an answer nor an
 * executor thread with the next run have to spare. Tensors move there and back, they are not copied. The thread starts
 * with the first tensor; if it dies, what it was doing fails and the next tensor starts another.
 */
import { Worker } from 'node:worker_threads'
import { threadModule } from '../../../shared/child-module.ts'
import type { CodedTensor } from '../../../shared/codec/index.ts'
import type { CodecName } from '../../../shared/contracts/codec.ts'
import { type ErrorCode, ScissionError } from '../../../shared/errors.ts'

export interface CodecThreadSettings {
  /** The thread waits (slowdown - 1) times the CPU time of each tensor. */
  slowdown: number
}

export type CodecWork =
  | { kind: 'encode'; tensor: CodedTensor; codec: CodecName }
  | { kind: 'decode'; tensor: CodedTensor; maxBytes: number }
export type CodecJob = CodecWork & { id: number }

export type CodecAnswer =
  /** The tensor that was sent comes back with what was made of it. */
  | { kind: 'made'; id: number; tensor: CodedTensor; made: CodedTensor; tookMs: number }
  | {
      kind: 'failed'
      id: number
      code: ErrorCode
      message: string
      details: Record<string, unknown> | undefined
    }

export interface Coded {
  made: CodedTensor
  /** In the thread, the wait of an emulated machine included. */
  tookMs: number
}

interface Waiting {
  given: CodedTensor
  resolve: (coded: Coded) => void
  reject: (error: Error) => void
}

const entry = threadModule(new URL('./codec-worker.ts', import.meta.url))

export class CodecThread {
  readonly #settings: CodecThreadSettings
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | undefined
  #lastId = 0

  constructor(settings: CodecThreadSettings) {
    this.#settings = settings
  }

  /**
   * Until this settles the tensor's bytes are away; then they are back in it, in a buffer of their own.
   * @throws ScissionError as encodeTensor and decodeTensor; internal when the thread dies.
   */
  run(work: CodecWork): Promise<Coded> {
    this.#worker ??= this.#start()
    this.#lastId += 1
    const bytes = movable(work.tensor.bytes)
    const job = { ...work, tensor: { ...work.tensor, bytes }, id: this.#lastId }
    const result = new Promise<Coded>((resolve, reject) =>
      this.#waiting.set(job.id, { given: work.tensor, resolve, reject }),
    )
    this.#worker.postMessage(job, [bytes.buffer])
    return result
  }

  async close(): Promise<void> {
    await this.#worker?.terminate()
  }

  #start(): Worker {
    const worker = new Worker(entry, { workerData: this.#settings })
    // The service decides how long the process lives.
    worker.unref()
    worker.on('message', (answer: CodecAnswer) => this.#settle(answer))
    worker.on('error', (error) => this.#lost(worker, error))
    worker.on('exit', () => this.#lost(worker, undefined))
    return worker
  }

  #settle(answer: CodecAnswer): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if (answer.kind === 'failed')
      return waiting?.reject(new ScissionError(answer.code, answer.message, answer.details))
    if (waiting) waiting.given.bytes = answer.tensor.bytes
    waiting?.resolve({ made: answer.made, tookMs: answer.tookMs })
  }

  #lost(worker: Worker, cause: Error | undefined): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    const error = new ScissionError(
      'internal',
      `the thread that packs tensors ended${cause ? `: ${cause.message}` : ''}; send the request again`,
      undefined,
      cause,
    )
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}

/** The bytes themselves when they fill their buffer and it can move; else a copy. */
function movable(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes
  // Node marks the buffer of its pool as one that cannot move.
  const whole = buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength
  return whole && buffer.byteLength !== Buffer.poolSize ? new Uint8Array(buffer) : new Uint8Array(bytes)
}
