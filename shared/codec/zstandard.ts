/**
 * The entropy part: Zstandard at level 1. Of what a quantised feature map leaves it takes another 45 to 70 %; lz4 takes
 * half of that at 1.6 times the speed, which pays only on links beyond 800 Mbit/s.
 *
 * The library is native and may be missing on a platform: then codecs with `zstd` are not offered, and a tensor that
 * needs it is refused by name.
 */
import { createRequire } from 'node:module'
import type * as Library from '@toondepauw/node-zstd'
import { coerceError, ScissionError } from '../platform/errors.ts'

const LEVEL = 1

interface Zstd {
  encode: (bytes: Buffer) => Buffer
  decode: (bytes: Buffer) => Buffer
}

let loaded: { zstd: Zstd } | { missing: string } | undefined

function load(): { zstd: Zstd } | { missing: string } {
  try {
    const { Encoder, Decoder } = createRequire(import.meta.url)('@toondepauw/node-zstd') as typeof Library
    const encoder = new Encoder(LEVEL)
    const decoder = new Decoder()
    const zstd = {
      encode: (bytes: Buffer) => encoder.encodeSync(bytes),
      decode: (bytes: Buffer) => decoder.decodeSync(bytes),
    }
    return { zstd }
  } catch (thrown) {
    return { missing: coerceError(thrown).message }
  }
}

function zstd(): Zstd {
  loaded ??= load()
  if ('zstd' in loaded) return loaded.zstd
  throw new ScissionError(
    'unsupportedEncoding',
    `this resource has no Zstandard library (${loaded.missing.split('\n')[0]}); use a codec without -zstd`,
  )
}

/** Whether this process can pack with it. lz4 is a name of the contract that no library here stands behind. */
export function hasEntropy(name: 'none' | 'zstd' | 'lz4'): boolean {
  if (name !== 'zstd') return name === 'none'
  loaded ??= load()
  return 'zstd' in loaded
}

/** @throws ScissionError unsupportedEncoding. */
export function pack(bytes: Uint8Array, name: 'zstd' | 'lz4'): Uint8Array<ArrayBuffer> {
  if (name === 'lz4') throw noLz4()
  return own(zstd().encode(bufferOf(bytes)))
}

/**
 * @param expectedBytes what must come out: nothing much larger is ever made, whatever the frame says.
 * @throws ScissionError invalidTensor when the bytes are no Zstandard frame or hold more or less; unsupportedEncoding.
 */
export function unpack(
  bytes: Uint8Array,
  name: 'zstd' | 'lz4',
  expectedBytes: number,
): Uint8Array<ArrayBuffer> {
  if (name === 'lz4') throw noLz4()
  const library = zstd()
  checkFrame(bytes, expectedBytes)
  let made: Buffer
  try {
    made = library.decode(bufferOf(bytes))
  } catch (thrown) {
    throw broken(coerceError(thrown).message)
  }
  if (made.byteLength !== expectedBytes)
    throw broken(`it holds ${made.byteLength} bytes, the tensor takes ${expectedBytes}`)
  return own(made)
}

const noLz4 = () =>
  new ScissionError('unsupportedEncoding', 'this build has no lz4 library; use a codec with -zstd or without')
const broken = (why: string) =>
  new ScissionError('invalidTensor', `a tensor packed with zstd is broken: ${why}`)
const bufferOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** The library's memory cannot be moved to another thread; a copy can. */
const own = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes)

const MAGIC = 0xfd2fb528
const BLOCK_BYTES = 128 * 1024
/** Encoders may split a block of BLOCK_BYTES; more small ones than this serve only to blow the output up. */
const SPLITS = 8

/**
 * Walks the block headers of the one frame (RFC 8878, 3.1.1) and adds up the most that each can hold: so that a few
 * hundred bytes cannot become gigabytes before anyone counts them. @throws ScissionError invalidTensor.
 */
function checkFrame(bytes: Uint8Array, expectedBytes: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const need = (at: number, count: number) => {
    if (at + count > bytes.byteLength) throw broken('its frame ends too early')
    return at
  }
  if (view.byteLength < 6 || view.getUint32(0, true) !== MAGIC) throw broken('it does not begin as a frame')
  const flags = view.getUint8(4)
  const single = (flags & 0x20) !== 0
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][flags >> 6] ?? 0
  const dictionaryBytes = [0, 1, 2, 4][flags & 3] ?? 0
  let at = 5 + (single ? 0 : 1) + dictionaryBytes + sizeBytes
  let plain = 0
  let compressed = 0
  for (let last = false; !last; ) {
    const header = view.getUint16(need(at, 3), true) | (view.getUint8(at + 2) << 16)
    last = (header & 1) !== 0
    const type = (header >> 1) & 3
    const size = header >> 3
    if (type === 3 || size > BLOCK_BYTES) throw broken('a block of its frame is not valid')
    if (type === 2) compressed += 1
    else plain += size
    at += 3 + (type === 1 ? 1 : size)
  }
  at += (flags & 0x04) === 0 ? 0 : 4
  if (at !== bytes.byteLength) throw broken('its frame does not end where its bytes do')
  const most = SPLITS * Math.ceil(expectedBytes / BLOCK_BYTES)
  if (plain > expectedBytes || compressed > Math.max(most, 1))
    throw broken(`its frame holds more than the ${expectedBytes} bytes of the tensor`)
}
