/**
 * Parses requests, writes responses and sends them. Binary messages and short JSON take microseconds and are handled at once. Long
 * JSON (a photograph as numbers takes tens of milliseconds) is handled on worker threads, and so is the compression of long answers:
 * a client's messages on one of them at a time, so that others do not wait.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { type Message, messageHeaders } from '../../../shared/oip/binary-message.ts'
import { type InferRequest, parseInferRequest } from '../../../shared/oip/request-message.ts'
import { type OutgoingResponse, writeInferResponse } from '../../../shared/oip/response-message.ts'
import type { Asker } from '../../../shared/platform/fair-queue.ts'
import { FairThreads } from '../../../shared/platform/threads/fair-threads.ts'
import type { AnswerMemory } from './answer-memory.ts'
import { freeViews, movableBuffers } from './buffer-memory.ts'
import { compress, type Encoding } from './compress.ts'

/** Work for the message thread. */
export type MessageJob =
  | { kind: 'parse'; json: Uint8Array; binary: Uint8Array; model: string }
  | { kind: 'write'; response: OutgoingResponse }
  | { kind: 'pack'; parts: Uint8Array[]; encoding: Encoding }

export type MessageResult =
  | { kind: 'parsed'; request: InferRequest }
  | { kind: 'written'; message: Message }
  | { kind: 'packed'; bytes: Uint8Array }

/** Parsing this much takes about 1 ms; a round trip to the thread takes a tenth of that. */
const LONG_JSON_BYTES = 48 * 1024
/** The same for tensor bytes to be written as JSON: 4 bytes of FP32 become about 20 characters. */
const LONG_TENSOR_BYTES = 10 * 1024
/** Compressing this much takes 0.4 ms. */
const LONG_ANSWER_BYTES = 16 * 1024
/** Messages that may wait for a thread; each of them occupies memory. */
const WAITING = { waiting: 256, waitingOfClient: 192 }

const entry = threadModule(new URL('./message-worker.ts', import.meta.url))

export class Messages {
  readonly #threads = new FairThreads<MessageJob, MessageResult>({
    entry,
    name: 'the thread that reads long messages',
    what: 'long JSON messages (binary tensors need not wait)',
    ...WAITING,
  })

  /**
   * Parses like parseInferRequest. The caller must not use `json` and `binary` any more.
   * @throws ScissionError as parseInferRequest; tooManyRequests, overloaded; cancelled.
   */
  async parseRequest(
    json: Uint8Array,
    binary: Uint8Array,
    model: string,
    asker: Asker,
  ): Promise<InferRequest> {
    if (json.byteLength < LONG_JSON_BYTES) return parseInferRequest(json, binary, model)
    const transfer = movableBuffers([json, binary])
    const result = await this.#threads.run({ kind: 'parse', json, binary, model }, asker, transfer)
    if (result.kind === 'parsed') return result.request
    throw new ScissionError('internal', 'the message thread answered another question')
  }

  /**
   * Writes like writeInferResponse. The caller must not use the tensors any more.
   * @throws ScissionError as writeInferResponse; tooManyRequests, overloaded; cancelled.
   */
  async writeResponse(response: OutgoingResponse, asker: Asker): Promise<Message> {
    const asJson = response.outputs.filter((output) => !output.binary)
    const jsonBytes = asJson.reduce((sum, { tensor }) => sum + tensor.bytes.byteLength, 0)
    if (jsonBytes < LONG_TENSOR_BYTES) return writeInferResponse(response)
    const transfer = movableBuffers(response.outputs.map(({ tensor }) => tensor.bytes))
    const result = await this.#threads.run({ kind: 'write', response }, asker, transfer)
    if (result.kind === 'written') return result.message
    throw new ScissionError('internal', 'the message thread answered another question')
  }

  /**
   * Compresses the parts as one. The caller must not use them any more.
   * @throws ScissionError tooManyRequests, overloaded; cancelled.
   */
  async pack(parts: Uint8Array[], encoding: Encoding, asker: Asker): Promise<Uint8Array> {
    const bytes = parts.reduce((sum, { byteLength }) => sum + byteLength, 0)
    if (bytes < LONG_ANSWER_BYTES) return compress[encoding](parts)
    const result = await this.#threads.run({ kind: 'pack', parts, encoding }, asker, movableBuffers(parts))
    if (result.kind === 'packed') return result.bytes
    throw new ScissionError('internal', 'the message thread answered another question')
  }

  async close(): Promise<void> {
    await this.#threads.close()
  }
}

/** What sending an answer needs. */
export interface Sending {
  memory: AnswerMemory
  messages: Messages
  asker: Asker
}

/**
 * Sends an inference message: headers, JSON, then the tensors' own bytes, compressed if the client accepts that. Then frees the
 * memory of its tensors, which the caller must not use any more.
 * @throws ScissionError overloaded if it does not fit beside the answers that wait for their clients; as `Messages.pack`.
 */
export async function sendMessage(
  req: IncomingMessage,
  res: ServerResponse,
  message: Message,
  { memory, messages, asker }: Sending,
): Promise<void> {
  const encoding = acceptedEncoding(req.headers['accept-encoding'])
  // After these events the system has taken all bytes, or the connection is closed: nothing reads this memory any more. Node
  // 24 does not emit 'finish' if the connection was closed.
  for (const event of ['finish', 'close']) res.once(event, () => freeViews(message.binary))
  const length = message.json.byteLength + message.binaryBytes
  const headers = messageHeaders(message)
  memory.hold(res, length)
  const whole = [message.json, ...message.binary]
  const parts = encoding ? [await messages.pack(whole, encoding, asker)] : whole
  res.writeHead(200, {
    ...headers,
    ...(encoding && { 'Content-Encoding': encoding }),
    'Content-Length': encoding ? (parts[0]?.byteLength ?? 0) : length,
  })
  res.cork()
  for (const part of parts) res.write(part)
  res.end()
}

/** The preferred one of gzip and deflate in an Accept-Encoding header; gzip if both are equal. */
export function acceptedEncoding(header: string | string[] | undefined): Encoding | undefined {
  const weights = { gzip: 0, deflate: 0 }
  for (const item of String(header ?? '').split(',')) {
    const [name, ...settings] = item.split(';').map((part) => part.trim().toLowerCase())
    const quality = settings.find((setting) => setting.startsWith('q='))?.slice(2)
    const weight = quality === undefined ? 1 : Number(quality)
    if (name === 'gzip' || name === 'deflate') weights[name] = Number.isNaN(weight) ? 0 : weight
  }
  if (weights.gzip <= 0 && weights.deflate <= 0) return undefined
  return weights.gzip >= weights.deflate ? 'gzip' : 'deflate'
}
