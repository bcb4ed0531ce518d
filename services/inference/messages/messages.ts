/**
 * Parses requests and writes responses. Binary messages and small JSON take microseconds and are done at once; long
 * JSON (a photograph as numbers takes tens of milliseconds) goes to a thread of its own, so that a probe never waits
 * behind it.
 */
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Message } from '../../../shared/oip/message.ts'
import { type InferRequest, parseInferRequest } from '../../../shared/oip/request.ts'
import { type OutgoingResponse, writeInferResponse } from '../../../shared/oip/response.ts'
import { WorkThread } from '../../../shared/platform/threads/work-thread.ts'
import { type MessageJob, type MessageResult, movable } from './message-work.ts'

/** About a millisecond of work; posting to the thread and back costs a tenth of that. */
const LONG_JSON_BYTES = 48 * 1024
/** The same for tensor bytes that are to become JSON: four bytes of FP32 print as about twenty. */
const LONG_TENSOR_BYTES = 10 * 1024
/** Messages that wait: each is held in memory meanwhile. */
const MOST_WAITING = 256

const entry = threadModule(new URL('./message-worker.ts', import.meta.url))

export class Messages {
  readonly #thread = new WorkThread<MessageJob, MessageResult>({
    entry,
    name: 'the thread that reads long messages',
    maxPieces: MOST_WAITING,
    busy: (waiting) =>
      `${waiting} long JSON messages wait to be read or written; send the request again in a moment, or send binary tensors`,
  })

  /** As parseInferRequest. `json` and `binary` are given away. @param signal aborted when the client has left. */
  async parseRequest(
    json: Uint8Array,
    binary: Uint8Array,
    model: string,
    signal?: AbortSignal,
  ): Promise<InferRequest> {
    if (json.byteLength < LONG_JSON_BYTES) return parseInferRequest(json, binary, model)
    const transfer = movable([json, binary])
    const result = await this.#thread.run({ kind: 'parse', json, binary, model }, { transfer, signal })
    if (result.kind === 'parsed') return result.request
    throw new ScissionError('internal', 'the message thread answered another question')
  }

  /** As writeInferResponse. The tensors are given away. @param signal aborted when the client has left. */
  async writeResponse(response: OutgoingResponse, signal?: AbortSignal): Promise<Message> {
    const asJson = response.outputs.filter((output) => !output.binary)
    const jsonBytes = asJson.reduce((sum, { tensor }) => sum + tensor.bytes.byteLength, 0)
    if (jsonBytes < LONG_TENSOR_BYTES) return writeInferResponse(response)
    const transfer = movable(response.outputs.map(({ tensor }) => tensor.bytes))
    const result = await this.#thread.run({ kind: 'write', response }, { transfer, signal })
    if (result.kind === 'written') return result.message
    throw new ScissionError('internal', 'the message thread answered another question')
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }
}
