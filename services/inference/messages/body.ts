/**
 * Reads the body of an inference message into two buffers of exactly the right size, JSON and tensor bytes, each
 * owning its memory: the one copy on the way in, after which a tensor can be moved to another thread. Used for
 * requests and for a peer's responses. Bounded in size (compressed and unpacked) and in silence.
 */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { createGunzip, createInflate } from 'node:zlib'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { type Arrival, ArrivalClock } from '../../../shared/platform/transfer-times.ts'
import { freeViews } from './free-memory.ts'
import { spareBuffers } from './spare-buffers.ts'
import { checkJsonLength, JSON_LENGTH_HEADER, readJsonLength } from '../../../shared/oip/binary-message.ts'

export interface InferBody {
  json: Uint8Array
  tensors: Uint8Array
  /** The body is one tensor's bytes and nothing else (`Inference-Header-Content-Length: 0`). */
  raw: boolean
  /** How the bytes came in; after unpacking, where they were compressed. */
  arrival: Arrival
}

export interface BodyLimits {
  maxBytes: number
  /** A sender of which less than LEAST_BYTES came for this long is given up on. */
  idleMs: number
  /** Shared by all bodies that are on their way. @defaultValue as much as there is */
  room?: BodyRoom
}

/** Of a sender that sends a byte now and then so as not to be silent: 140 B/s at 30 s are slower than any link. */
const LEAST_BYTES = 4096

/** Memory for the bodies that are on their way: many slow senders together must not take all there is. */
export class BodyRoom {
  readonly #bytes: number
  #taken = 0

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  /** @throws ScissionError overloaded when there is not so much left; the first body always fits. */
  take(bytes: number): void {
    if (this.#taken > 0 && this.#taken + bytes > this.#bytes)
      throw new ScissionError(
        'overloaded',
        `requests of ${this.#taken} bytes together are being received, more than ${this.#bytes} do not fit; ` +
          'send the request again in a moment',
      )
    this.#taken += bytes
  }

  give(bytes: number): void {
    this.#taken -= bytes
  }
}

/** What a 501 for an unknown Content-Encoding offers instead. */
export const KNOWN_ENCODINGS = 'gzip, deflate'

/**
 * @throws ScissionError payloadTooLarge, unsupportedEncoding, badRequest (lengths that do not hold, broken
 * compression, silence), cancelled (the sender left).
 */
export async function readBody(source: IncomingMessage, limits: BodyLimits): Promise<InferBody> {
  const unpacked = unpack(source)
  const contentLength = lengthOf(source)
  if (contentLength !== undefined && contentLength > limits.maxBytes)
    throw tooLarge(limits.maxBytes, contentLength)
  const declared = unpacked === source ? contentLength : undefined
  const header = source.headers[JSON_LENGTH_HEADER]
  let taken = 0
  const take = (bytes: number) => {
    limits.room?.take(bytes)
    taken += bytes
  }
  try {
    if (declared !== undefined) take(declared)
    const sink = openSink(Array.isArray(header) ? header[0] : header, declared, limits.maxBytes)
    const arrival = await drain(
      source,
      unpacked,
      declared === undefined ? taking(sink, take) : sink,
      limits.idleMs,
    )
    return { ...sink.end(), arrival }
  } finally {
    limits.room?.give(taken)
  }
}

/** A body of unknown length takes room as it grows. */
function taking(sink: BodySink, take: (bytes: number) => void): Pick<BodySink, 'add' | 'copies'> {
  return {
    copies: sink.copies,
    add: (chunk) => {
      take(chunk.length)
      sink.add(chunk)
    },
  }
}

/** Takes a body's pieces to their places. */
export interface BodySink {
  /** A piece is copied by `add`, and nobody else's from then on. */
  copies: boolean
  /** @throws ScissionError payloadTooLarge to refuse the rest. */
  add: (chunk: Buffer) => void
  /** @throws ScissionError badRequest when it is not complete. */
  end: () => Omit<InferBody, 'arrival'>
}

/**
 * @param jsonHeader the length of the JSON part, as written. @param length of the body, where it is known ahead.
 * @throws ScissionError badRequest, payloadTooLarge.
 */
export function openSink(
  jsonHeader: string | undefined,
  length: number | undefined,
  maxBytes: number,
): BodySink {
  if (length !== undefined && length > maxBytes) throw tooLarge(maxBytes, length)
  const jsonLength = readJsonLength(jsonHeader, length)
  const sink =
    length === undefined ? new GrowingSink(jsonLength, maxBytes) : new ExactSink(jsonLength ?? length, length)
  return {
    copies: length !== undefined,
    add: (chunk) => sink.add(chunk),
    end: () => ({ ...sink.end(), raw: jsonLength === 0 }),
  }
}

function lengthOf(source: IncomingMessage): number | undefined {
  const header = source.headers['content-length']
  // Node has checked that it is a number, and holds the sender to it.
  return header === undefined ? undefined : Number(header)
}

function unpack(source: IncomingMessage): Readable {
  const encoding = (source.headers['content-encoding'] ?? 'identity').trim().toLowerCase()
  if (encoding === 'identity' || encoding === '') return source
  if (encoding === 'gzip') return source.pipe(createGunzip())
  if (encoding === 'deflate') return source.pipe(createInflate())
  throw new ScissionError('unsupportedEncoding', 'Unsupported compression type', {
    encoding,
    known: KNOWN_ENCODINGS,
  })
}

const tooLarge = (limit: number, given?: number) =>
  new ScissionError(
    'payloadTooLarge',
    `the body${given === undefined ? '' : ` of ${given} bytes`} exceeds the maximum allowed value of ${limit} bytes`,
  )

interface Sink {
  /** @throws ScissionError to refuse the rest. */
  add: (chunk: Buffer) => void
  end: () => { json: Uint8Array; tensors: Uint8Array }
}

/**
 * Zeroing a megabyte in fresh pages takes five times as long as copying one, and every byte is written before `end`
 * gives the buffer away. Its own memory, not Node's pool: it can move to another thread.
 */
function unfilled(bytes: number): Uint8Array {
  return new Uint8Array(spareBuffers.take(bytes) ?? Buffer.allocUnsafeSlow(bytes).buffer)
}

/** The size is known: every chunk goes straight to its place. */
class ExactSink implements Sink {
  readonly #json: Uint8Array
  readonly #tensors: Uint8Array
  #at = 0

  constructor(jsonLength: number, total: number) {
    this.#json = unfilled(jsonLength)
    this.#tensors = unfilled(total - jsonLength)
  }

  add(chunk: Buffer): void {
    const jsonLeft = Math.max(0, this.#json.length - this.#at)
    if (jsonLeft > 0) this.#json.set(chunk.subarray(0, jsonLeft), this.#at)
    if (chunk.length > jsonLeft)
      this.#tensors.set(chunk.subarray(jsonLeft), this.#at + jsonLeft - this.#json.length)
    this.#at += chunk.length
  }

  end(): { json: Uint8Array; tensors: Uint8Array } {
    const total = this.#json.length + this.#tensors.length
    if (this.#at < total)
      throw new ScissionError('badRequest', `the body ended after ${this.#at} of ${total} bytes`)
    return { json: this.#json, tensors: this.#tensors }
  }
}

/** The size is not known (chunked or compressed): chunks are kept, then put together. */
class GrowingSink implements Sink {
  readonly #chunks: Buffer[] = []
  readonly #jsonLength: number | undefined
  readonly #limit: number
  #bytes = 0

  constructor(jsonLength: number | undefined, limit: number) {
    this.#jsonLength = jsonLength
    this.#limit = limit
  }

  add(chunk: Buffer): void {
    this.#bytes += chunk.length
    if (this.#bytes > this.#limit) throw tooLarge(this.#limit)
    this.#chunks.push(chunk)
  }

  end(): { json: Uint8Array; tensors: Uint8Array } {
    if (this.#jsonLength !== undefined) checkJsonLength(this.#jsonLength, this.#bytes)
    const exact = new ExactSink(this.#jsonLength ?? this.#bytes, this.#bytes)
    for (const chunk of this.#chunks) exact.add(chunk)
    return exact.end()
  }
}

/**
 * The pieces of a body that were copied, freed by the megabyte: Node reads into new memory for each, and to collect it
 * cost as much CPU time as all the rest of reading a body.
 */
class SpentPieces {
  #pieces: Buffer[] = []
  #bytes = 0

  add(piece: Buffer): void {
    this.#pieces.push(piece)
    this.#bytes += piece.byteLength
    if (this.#bytes >= SPENT_BYTES) this.free()
  }

  free(): void {
    freeViews(this.#pieces)
    this.#pieces = []
    this.#bytes = 0
  }
}

const SPENT_BYTES = 1024 * 1024

/** `unpacked` is `source` itself or what decompresses it. The source is left open, so that a refusal can be answered. */
function drain(
  source: IncomingMessage,
  unpacked: Readable,
  sink: Pick<BodySink, 'add' | 'copies'>,
  idleMs: number,
): Promise<Arrival> {
  return new Promise((resolve, reject) => {
    const clock = new ArrivalClock()
    // What comes out of an unpacker is a part of its own buffer.
    const spent = sink.copies && unpacked === source ? new SpentPieces() : undefined
    let sinceMoved = 0
    const timer = setTimeout(() => {
      const came = sinceMoved === 0 ? 'nothing' : `only ${sinceMoved} bytes`
      settle(new ScissionError('badRequest', `the body stopped arriving: ${came} came for ${idleMs} ms`))
    }, idleMs)
    const onData = (chunk: Buffer) => {
      sinceMoved += chunk.length
      if (sinceMoved >= LEAST_BYTES) {
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
      // A complete source closes too, while what unpacks it is still at work.
      if (!source.complete) settle(new ScissionError('cancelled', 'the sender closed the connection'))
    }
    const onEnd = () => settle(undefined)
    function settle(error: unknown): void {
      clearTimeout(timer)
      // The request goes on first.
      if (spent) setImmediate(() => spent.free())
      unpacked.off('data', onData).off('end', onEnd)
      source.off('aborted', onGone).off('close', onGone)
      // An 'error' listener stays: a stream that fails later must not bring the process down.
      if (error === undefined) return resolve(clock.arrival)
      if (unpacked !== source) source.unpipe()
      if (unpacked !== source) unpacked.destroy()
      source.resume()
      reject(error)
    }
    source.on('error', onGone).on('aborted', onGone).on('close', onGone)
    if (unpacked !== source) unpacked.on('error', onBroken)
    unpacked.on('data', onData).on('end', onEnd)
  })
}
