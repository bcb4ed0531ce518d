/**
 * Parses requests and writes responses. Binary messages and short JSON take microseconds and are handled at once. Long JSON
 * (a photograph as numbers takes tens of milliseconds) is handled on a worker thread, so that other requests do not wait.
 */
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Message } from '../../../shared/oip/binary-message.ts'
import { type InferRequest, parseInferRequest } from '../../../shared/oip/request-message.ts'
import { type OutgoingResponse, writeInferResponse } from '../../../shared/oip/response-message.ts'
import { WorkThread } from '../../../shared/platform/threads/work-thread.ts'
import { movableBuffers } from './buffer-memory.ts'

/** Work for the message thread. */
export type MessageJob =
  | { kind: 'parse'; json: Uint8Array; binary: Uint8Array; model: string }
  | { kind: 'write'; response: OutgoingResponse }

export type MessageResult = { kind: 'parsed'; request: InferRequest } | { kind: 'written'; message: Message }

/** Parsing this much takes about 1 ms; a round trip to the thread takes a tenth of that. */
const LONG_JSON_BYTES = 48 * 1024
/** The same for tensor bytes to be written as JSON: 4 bytes of FP32 become about 20 characters. */
const LONG_TENSOR_BYTES = 10 * 1024
/** Messages that may wait for the thread; each of them occupies memory. */
const MAX_WAITING_COUNT = 256

const entry = threadModule(new URL('./message-worker.ts', import.meta.url))

export class Messages {
  readonly #thread = new WorkThread<MessageJob, MessageResult>({
    entry,
    name: 'the thread that reads long messages',
    maxPieces: MAX_WAITING_COUNT,
    busy: (waiting) =>
      `${waiting} long JSON messages wait to be read or written; send the request again in a moment, or send binary tensors`,
  })

  /**
   * Parses like parseInferRequest. The caller must not use `json` and `binary` any more.
   * @param signal aborted if the client leaves. @throws ScissionError as parseInferRequest; overloaded; cancelled.
   */
  async parseRequest(
    json: Uint8Array,
    binary: Uint8Array,
    model: string,
    signal?: AbortSignal,
  ): Promise<InferRequest> {
    if (json.byteLength < LONG_JSON_BYTES) return parseInferRequest(json, binary, model)
    const transfer = movableBuffers([json, binary])
    const result = await this.#thread.run({ kind: 'parse', json, binary, model }, { transfer, signal })
    if (result.kind === 'parsed') return result.request
    throw new ScissionError('internal', 'the message thread answered another question')
  }

  /**
   * Writes like writeInferResponse. The caller must not use the tensors any more.
   * @param signal aborted if the client leaves. @throws ScissionError as writeInferResponse; overloaded; cancelled.
   */
  async writeResponse(response: OutgoingResponse, signal?: AbortSignal): Promise<Message> {
    const asJson = response.outputs.filter((output) => !output.binary)
    const jsonBytes = asJson.reduce((sum, { tensor }) => sum + tensor.bytes.byteLength, 0)
    if (jsonBytes < LONG_TENSOR_BYTES) return writeInferResponse(response)
    const transfer = movableBuffers(response.outputs.map(({ tensor }) => tensor.bytes))
    const result = await this.#thread.run({ kind: 'write', response }, { transfer, signal })
    if (result.kind === 'written') return result.message
    throw new ScissionError('internal', 'the message thread answered another question')
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }
}
