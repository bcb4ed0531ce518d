/**
 * Parses requests and writes responses. Binary messages and small JSON take microseconds and are done at once; long
 * JSON (a photograph as numbers takes tens of milliseconds) goes to a thread of its own, so that a probe never waits
 * behind it. The thread starts with the first long message. If it dies, what it was doing fails and the next long
 * message starts another.
 */
import { Worker } from 'node:worker_threads'
import { threadModule } from '../../../shared/child-module.ts'
import { ScissionError } from '../../../shared/errors.ts'
import type { Message } from '../../../shared/oip/message.ts'
import { type InferRequest, parseInferRequest } from '../../../shared/oip/request.ts'
import { type OutgoingResponse, writeInferResponse } from '../../../shared/oip/response.ts'
import {
  type MessageFailure,
  type MessageJob,
  type MessageResult,
  movable,
  type Numbered,
} from './message-work.ts'

/** About a millisecond of work; posting to the thread and back costs a tenth of that. */
const LONG_JSON_BYTES = 48 * 1024
/** The same for tensor bytes that are to become JSON: four bytes of FP32 print as about twenty. */
const LONG_TENSOR_BYTES = 10 * 1024

const entry = threadModule(new URL('./message-worker.ts', import.meta.url))

interface Waiting {
  resolve: (result: MessageResult) => void
  reject: (error: Error) => void
}

export class Messages {
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | undefined
  #lastId = 0

  /** As parseInferRequest. `json` and `binary` are given away. */
  async parseRequest(json: Uint8Array, binary: Uint8Array, model: string): Promise<InferRequest> {
    if (json.byteLength < LONG_JSON_BYTES) return parseInferRequest(json, binary, model)
    const result = await this.#send({ kind: 'parse', json, binary, model }, [json, binary])
    if (result.kind === 'parsed') return result.request
    throw new ScissionError('internal', 'the message thread answered another question')
  }

  /** As writeInferResponse. The tensors are given away. */
  async writeResponse(response: OutgoingResponse): Promise<Message> {
    const asJson = response.outputs.filter((output) => !output.binary)
    const jsonBytes = asJson.reduce((sum, { tensor }) => sum + tensor.bytes.byteLength, 0)
    if (jsonBytes < LONG_TENSOR_BYTES) return writeInferResponse(response)
    const views = response.outputs.map(({ tensor }) => tensor.bytes)
    const result = await this.#send({ kind: 'write', response }, views)
    if (result.kind === 'written') return result.message
    throw new ScissionError('internal', 'the message thread answered another question')
  }

  async close(): Promise<void> {
    await this.#worker?.terminate()
  }

  #send(work: MessageJob, views: readonly Uint8Array[]): Promise<MessageResult> {
    this.#worker ??= this.#start()
    this.#lastId += 1
    const job: Numbered<MessageJob> = { id: this.#lastId, work }
    const result = new Promise<MessageResult>((resolve, reject) =>
      this.#waiting.set(job.id, { resolve, reject }),
    )
    this.#worker.postMessage(job, movable(views))
    return result
  }

  #start(): Worker {
    const worker = new Worker(entry)
    // The service decides how long the process lives.
    worker.unref()
    worker.on('message', ({ id, work }: Numbered<MessageResult | MessageFailure>) => {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (work.kind !== 'failed') waiting?.resolve(work)
      else waiting?.reject(new ScissionError(work.code, work.message, work.details))
    })
    worker.on('error', (error) => this.#lost(worker, error))
    worker.on('exit', () => this.#lost(worker, undefined))
    return worker
  }

  #lost(worker: Worker, cause: Error | undefined): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    const error = new ScissionError(
      'internal',
      `the thread that reads long messages ended${cause ? `: ${cause.message}` : ''}; send the request again`,
      undefined,
      cause,
    )
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}
