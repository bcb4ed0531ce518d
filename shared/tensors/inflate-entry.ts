/** Unpacks a file of a zip archive piece by piece, no further than its directory says. */
import { createInflateRaw, inflateRawSync } from 'node:zlib'
import { coerceError } from '../platform/errors.ts'
import type { ZipEntry } from './zip-directory.ts'

/** Bytes that are unpacked at a time. */
const PIECE_BYTES = 64 * 1024
/** Deflate packs no better: two bits for 258 bytes. */
const MAX_RATIO = 1032

/**
 * @param refuse makes the error of an entry whose bytes are damaged, or not as many as it says.
 * @returns the file, in memory of its own.
 */
export async function inflateEntry(
  { name, isPacked, packed, size, crc }: ZipEntry,
  refuse: (why: string) => Error,
): Promise<Uint8Array> {
  // Before memory is taken for it.
  if (isPacked && size > packed.byteLength * MAX_RATIO)
    throw refuse(`${name}: ${packed.byteLength} packed bytes cannot hold the ${size} that it says`)
  const wrong = () => refuse(`${name} does not hold the ${size} bytes that it says`)
  const bytes = isPacked ? await inflated(packed, size, wrong, refuse, name) : packed.slice()
  if (bytes.byteLength !== size) throw wrong()
  if (crc32(bytes) !== crc) throw refuse(`the .npz file is damaged: the checksum of ${name} is wrong`)
  return bytes
}

async function inflated(
  packed: Uint8Array,
  size: number,
  wrong: () => Error,
  refuse: (why: string) => Error,
  name: string,
): Promise<Uint8Array> {
  const damaged = (thrown: unknown) =>
    refuse(`the .npz file is damaged: ${name}: ${coerceError(thrown).message}`)
  // A stream for each of many tiny files would take most of the time.
  if (size <= PIECE_BYTES) {
    try {
      return new Uint8Array(inflateRawSync(packed, { maxOutputLength: Math.max(1, size) }))
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw wrong()
      throw damaged(thrown)
    }
  }
  const bytes = new Uint8Array(size)
  const stream = createInflateRaw({ chunkSize: PIECE_BYTES })
  stream.end(packed)
  let at = 0
  try {
    for await (const piece of stream as AsyncIterable<Uint8Array>) {
      if (at + piece.byteLength > size) break
      bytes.set(piece, at)
      at += piece.byteLength
    }
  } catch (thrown) {
    throw damaged(thrown)
  }
  // It ended too early, or was left in the middle because it had more.
  if (at !== size || !stream.readableEnded) throw wrong()
  return bytes
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let crc = index
  for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xed_b8_83_20 : 0)
  return crc
})

/** The checksum of zip. Node 20.0 has no zlib.crc32. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xff_ff_ff_ff
  for (const byte of bytes) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0)
  return ~crc >>> 0
}
