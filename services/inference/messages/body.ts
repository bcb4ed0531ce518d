/**
 * Reads the body of an inference message, a request or a peer's response, into two buffers of exactly the right size: JSON
 * and tensor bytes. Each owns its memory, so that a tensor can then move to another thread. This is the only copy on the way
 * in. Size (compressed and uncompressed) and silence of the sender are limited.
 */
import type { IncomingMessage } from 'node:http'
import type { Transform } from 'node:stream'
import { createGunzip, createInflate } from 'node:zlib'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { type Arrival, ArrivalClock } from '../../../shared/platform/transfer-times.ts'
import { type BodyMemoryBudget, bufferPool, freeViews } from './buffer-memory.ts'
import { checkJsonLength, JSON_LENGTH_HEADER, readJsonLength } from '../../../shared/oip/binary-message.ts'

export interface InferBody {
  json: Uint8Array
  tensors: Uint8Array
  /** True if the body is one raw tensor without JSON (`Inference-Header-Content-Length: 0`). */
  raw: boolean
  /** Timing of the bytes' arrival, of the uncompressed bytes if they were compressed. */
  arrival: Arrival
}

export interface BodyLimits {
  maxBytes: number
  /** The environment variable that sets it. */
  setting?: string
  /** ms in which a sender has to send at least MIN_PROGRESS_BYTES; otherwise the request is refused. */
  idleMs: number
  /** Budget shared by all bodies that are being received. @defaultValue unlimited */
  memory?: BodyMemoryBudget
}

/** Detects senders that only send a byte from time to time: 4096 bytes in 30 s (140 B/s) are slower than any link. */
const MIN_PROGRESS_BYTES = 4096

/** The encodings that a 501 answer for an unknown Content-Encoding names. */
export const KNOWN_ENCODINGS = 'gzip, deflate'

/**
 * @throws ScissionError payloadTooLarge, unsupportedEncoding, badRequest (wrong lengths, broken compression),
 * requestTimeout (silence), overloaded, cancelled (the sender closed the connection).
 */
export async function readBody(source: IncomingMessage, limits: BodyLimits): Promise<InferBody> {
  const unpacker = unpackerFor(source)
  const { [JSON_LENGTH_HEADER]: header, 'content-length': length } = source.headers
  // Node has checked that it is a number, and enforces it.
  const contentLength = length === undefined ? undefined : Number(length)
  if (contentLength !== undefined && contentLength > limits.maxBytes) throw tooLarge(limits, contentLength)
  const declared = unpacker === undefined ? contentLength : undefined
  let reserved = 0
  const reserve = (bytes: number) => {
    limits.memory?.reserve(bytes, reserved)
    reserved += bytes
  }
  try {
    if (declared !== undefined) reserve(declared)
    const sink = openSink(Array.isArray(header) ? header[0] : header, declared, limits, reserve)
    const arrival = await drain(source, unpacker, sink, limits.idleMs)
    return { ...sink.end(), arrival }
  } finally {
    limits.memory?.release(reserved)
  }
}

/** Receives the chunks of a body. */
export interface BodySink {
  /** True if `add` copies a chunk, so that its memory may be freed afterwards. */
  copies: boolean
  /** @throws ScissionError payloadTooLarge if the body grows too large. */
  add: (chunk: Buffer) => void
  /** @throws ScissionError badRequest if the body is incomplete. */
  end: () => Omit<InferBody, 'arrival'>
}

/**
 * @param jsonHeader the header with the length of the JSON part. @param length of the body, if it is known in advance.
 * @param reserve reserves memory while a body of unknown length grows.
 * @throws ScissionError badRequest, payloadTooLarge.
 */
export function openSink(
  jsonHeader: string | undefined,
  length: number | undefined,
  limit: SizeLimit,
  reserve?: (bytes: number) => void,
): BodySink {
  if (length !== undefined && length > limit.maxBytes) throw tooLarge(limit, length)
  const jsonLength = readJsonLength(jsonHeader, length)
  return length === undefined
    ? new GrowingSink(jsonLength, limit, reserve)
    : new ExactSink(jsonLength, length)
}

/** @returns undefined if the body is not compressed. */
function unpackerFor(source: IncomingMessage): (() => Transform) | undefined {
  const encoding = (source.headers['content-encoding'] ?? 'identity').trim().toLowerCase()
  if (encoding === 'identity' || encoding === '') return undefined
  if (encoding === 'gzip') return createGunzip
  if (encoding === 'deflate') return createInflate
  throw new ScissionError('unsupportedEncoding', 'Unsupported compression type', {
    encoding,
    known: KNOWN_ENCODINGS,
  })
}

type SizeLimit = Pick<BodyLimits, 'maxBytes' | 'setting'>

function tooLarge({ maxBytes, setting }: SizeLimit, given?: number): ScissionError {
  const size = given === undefined ? '' : ` of ${given} bytes`
  const how = setting === undefined ? '' : `; ${setting} sets it`
  return new ScissionError(
    'payloadTooLarge',
    `the body${size} exceeds the maximum allowed value of ${maxBytes} bytes${how}`,
  )
}

/**
 * Allocates memory without zeroing it, which would take five times as long as copying the same bytes. All bytes are
 * written before `end` returns the buffer. It is not part of Node's pool, so it can move to another thread.
 */
function unfilled(bytes: number): Uint8Array {
  return new Uint8Array(bufferPool.take(bytes) ?? Buffer.allocUnsafeSlow(bytes).buffer)
}

/** For a body of known size: copies every chunk directly to its place. */
class ExactSink implements BodySink {
  readonly copies = true
  readonly #raw: boolean
  readonly #json: Uint8Array
  readonly #tensors: Uint8Array
  #at = 0

  constructor(jsonLength: number | undefined, total: number) {
    this.#raw = jsonLength === 0
    this.#json = unfilled(jsonLength ?? total)
    this.#tensors = unfilled(total - this.#json.length)
  }

  add(chunk: Buffer): void {
    const jsonLeft = Math.max(0, this.#json.length - this.#at)
    if (jsonLeft > 0) this.#json.set(chunk.subarray(0, jsonLeft), this.#at)
    if (chunk.length > jsonLeft)
      this.#tensors.set(chunk.subarray(jsonLeft), this.#at + jsonLeft - this.#json.length)
    this.#at += chunk.length
  }

  end(): Omit<InferBody, 'arrival'> {
    const total = this.#json.length + this.#tensors.length
    if (this.#at < total)
      throw new ScissionError('badRequest', `the body ended after ${this.#at} of ${total} bytes`)
    return { json: this.#json, tensors: this.#tensors, raw: this.#raw }
  }
}

/** For a body of unknown size (chunked or compressed): keeps the chunks and joins them at the end. */
class GrowingSink implements BodySink {
  readonly copies = false
  readonly #chunks: Buffer[] = []
  readonly #jsonLength: number | undefined
  readonly #limit: SizeLimit
  readonly #reserve: ((bytes: number) => void) | undefined
  #bytes = 0

  constructor(jsonLength: number | undefined, limit: SizeLimit, reserve?: (bytes: number) => void) {
    this.#jsonLength = jsonLength
    this.#limit = limit
    this.#reserve = reserve
  }

  add(chunk: Buffer): void {
    this.#reserve?.(chunk.length)
    this.#bytes += chunk.length
    if (this.#bytes > this.#limit.maxBytes) throw tooLarge(this.#limit)
    this.#chunks.push(chunk)
  }

  end(): Omit<InferBody, 'arrival'> {
    if (this.#jsonLength !== undefined) checkJsonLength(this.#jsonLength, this.#bytes)
    const exact = new ExactSink(this.#jsonLength, this.#bytes)
    for (const chunk of this.#chunks) exact.add(chunk)
    return exact.end()
  }
}

/**
 * Frees the memory of copied chunks, one megabyte at a time. Node reads each chunk into new memory, and collecting it as
 * garbage cost as much CPU time as everything else in reading a body.
 */
class SpentChunks {
  #chunks: Buffer[] = []
  #bytes = 0

  add(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.byteLength
    if (this.#bytes >= MAX_SPENT_BYTES) this.free()
  }

  free(): void {
    freeViews(this.#chunks)
    this.#chunks = []
    this.#bytes = 0
  }
}

const MAX_SPENT_BYTES = 1024 * 1024

/**
 * Reads a stream to its end. The source stays open, so that a refusal can be answered.
 * @param unpacker makes the stream that decompresses it. It is fed only from here, where its errors are listened to.
 */
function drain(
  source: IncomingMessage,
  unpacker: (() => Transform) | undefined,
  sink: BodySink,
  idleMs: number,
): Promise<Arrival> {
  return new Promise((resolve, reject) => {
    const clock = new ArrivalClock()
    const decompressor = unpacker?.()
    const unpacked = decompressor ?? source
    // Chunks of a decompressor are parts of its own buffer and must not be freed.
    const spent = sink.copies && !decompressor ? new SpentChunks() : undefined
    let sinceMoved = 0
    const timer = setTimeout(() => {
      const came = sinceMoved === 0 ? 'nothing' : `only ${sinceMoved} bytes`
      settle(new ScissionError('requestTimeout', `the body stopped arriving: ${came} came for ${idleMs} ms`))
    }, idleMs)
    const onData = (chunk: Buffer) => {
      sinceMoved += chunk.length
      if (sinceMoved >= MIN_PROGRESS_BYTES) {
        sinceMoved = 0
        timer.refresh()
      }
      clock.add(chunk.length, performance.now())
      try {
        sink.add(chunk)
        spent?.add(chunk)
      } catch (error) {
        settle(error)
      }
    }
    const onBroken = (error: Error) =>
      settle(new ScissionError('badRequest', `the body cannot be unpacked: ${error.message}`))
    const onGone = () => {
      // A source that was read to its end closes too, while its decompressor may still be working.
      if (!source.readableEnded) settle(new ScissionError('cancelled', 'the sender closed the connection'))
    }
    const onEnd = () => settle(undefined)
    function settle(error: unknown): void {
      clearTimeout(timer)
      // Freed later, so that the request continues first.
      if (spent) setImmediate(() => spent.free())
      unpacked.off('data', onData).off('end', onEnd)
      source.off('aborted', onGone).off('close', onGone)
      // The 'error' listeners stay: a stream that fails later must not end the process.
      if (error === undefined) return resolve(clock.arrival)
      if (decompressor) source.unpipe()
      decompressor?.destroy()
      source.resume()
      reject(error)
    }
    source.on('error', onGone).on('aborted', onGone).on('close', onGone)
    // No event tells any more that the sender left before this.
    if (source.destroyed) return onGone()
    unpacked.on('data', onData).on('end', onEnd)
    if (decompressor) source.pipe(decompressor.on('error', onBroken))
  })
}
