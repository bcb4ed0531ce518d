/** Unpacks a file of a zip archive piece by piece, no further than its directory says. */
import { createInflateRaw, inflateRawSync } from 'node:zlib'
import { coerceError } from '../platform/errors.ts'
import { turnEvery } from '../platform/turns.ts'
import type { Refuse, ZipEntry } from './zip-entries.ts'

/** Bytes that are unpacked at a time. */
const PIECE_BYTES = 64 * 1024
/** Bytes that are not packed, copied and summed in one go, which takes some milliseconds. */
const TURN_BYTES = 1024 * 1024
/** Deflate packs no better: two bits for 258 bytes. */
const MAX_RATIO = 1032

/**
 * @param refuse makes the error of an entry whose bytes are damaged, or not as many as it says.
 * @returns the file, in memory of its own.
 */
export async function inflateEntry(entry: ZipEntry, refuse: Refuse): Promise<Uint8Array> {
  const { name, isPacked, packed, size, crc } = entry
  // Before memory is taken for it.
  if (isPacked && size > packed.byteLength * MAX_RATIO)
    throw refuse(`${name}: ${packed.byteLength} packed bytes cannot hold the ${size} that it says`)
  const bytes = new Uint8Array(size)
  let at = 0
  let sum = 0
  try {
    for await (const piece of piecesOf(entry)) {
      // More than it says is not unpacked: the stream is left in the middle.
      if (at + piece.byteLength > size) throw new WrongSize()
      bytes.set(piece, at)
      sum = crc32(piece, sum)
      at += piece.byteLength
    }
    if (at !== size) throw new WrongSize()
  } catch (thrown) {
    if (thrown instanceof WrongSize) throw refuse(`${name} does not hold the ${size} bytes that it says`)
    throw refuse(`the .npz file is damaged: ${name}: ${coerceError(thrown).message}`)
  }
  if (sum !== crc) throw refuse(`the .npz file is damaged: the checksum of ${name} is wrong`)
  return bytes
}

class WrongSize extends Error {}

/** @returns what the file consists of, and a little more if it is longer than it says. */
function piecesOf({ isPacked, packed, size }: ZipEntry): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  if (!isPacked) return packed.byteLength > TURN_BYTES ? inTurns(packed) : [packed]
  // A stream for each of many tiny files would take most of the time.
  if (size <= PIECE_BYTES) return [inflatedAtOnce(packed, size)]
  const stream = createInflateRaw({ chunkSize: PIECE_BYTES })
  stream.end(packed)
  return stream as AsyncIterable<Uint8Array>
}

function inflatedAtOnce(packed: Uint8Array, size: number): Uint8Array {
  try {
    return inflateRawSync(packed, { maxOutputLength: Math.max(1, size) })
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw new WrongSize()
    throw thrown
  }
}

async function* inTurns(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const pieceDone = turnEvery(TURN_BYTES)
  for (let at = 0; at < bytes.byteLength; at += TURN_BYTES) {
    const piece = bytes.subarray(at, at + TURN_BYTES)
    yield piece
    await pieceDone(piece.byteLength)
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let crc = index
  for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xed_b8_83_20 : 0)
  return crc
})

/** The checksum of zip, of what came before and of these bytes. Node 20.0 has no zlib.crc32. */
function crc32(bytes: Uint8Array, before: number): number {
  let crc = ~before
  // Twice as fast as `for … of`, and most of the time that unpacking takes on the event loop.
  for (let at = 0; at < bytes.length; at += 1)
    crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0)
  return ~crc >>> 0
}
