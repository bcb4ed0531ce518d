/**
 * Reads the headers of a Zstandard frame (RFC 8878, 3.1.1) without decoding it: what a frame declares is refused here before a
 * library allocates anything for it. A few hundred bytes could declare gigabytes.
 */
import { ScissionError } from '../platform/errors.ts'

export const brokenFrame = (why: string) =>
  new ScissionError('invalidTensor', `a tensor packed with zstd is broken: ${why}`)

const MAGIC = 0xfd2fb528
const MAX_BLOCK_BYTES = 128 * 1024
/** An encoder may split a full block into a few smaller ones; a frame of more blocks serves only to inflate the output. */
const MAX_SPLITS_PER_BLOCK = 8
/** 8 MiB, what RFC 8878 recommends every decoder to support. Ours take 512 KiB at most. */
export const MAX_WINDOW_LOG = 23

/**
 * Checks that the bytes are one frame that decodes to `expectedBytes`, as far as its headers tell: no dictionary, a small window,
 * the right content size if it is declared, and blocks that cannot hold more. @throws ScissionError invalidTensor.
 */
export function checkFrame(bytes: Uint8Array, expectedBytes: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const start = checkHeader(view, expectedBytes)
  const { end, plainBytes, compressedBlocks } = walkBlocks(view, start)
  const checksumBytes = (view.getUint8(4) & 0x04) === 0 ? 0 : 4
  if (end + checksumBytes !== bytes.byteLength) throw brokenFrame('its frame does not end where its bytes do')
  const maxBlocks = Math.max(1, MAX_SPLITS_PER_BLOCK * Math.ceil(expectedBytes / MAX_BLOCK_BYTES))
  if (plainBytes > expectedBytes || compressedBlocks > maxBlocks)
    throw brokenFrame(`its frame holds more than the ${expectedBytes} bytes of the tensor`)
}

/** @returns where the blocks begin. */
function checkHeader(view: DataView, expectedBytes: number): number {
  if (view.byteLength < 6 || view.getUint32(0, true) !== MAGIC)
    throw brokenFrame('it does not begin as a frame')
  const flags = view.getUint8(4)
  if ((flags & 0x08) !== 0) throw brokenFrame('a reserved bit of its frame is set')
  if ((flags & 0x03) !== 0) throw brokenFrame('its frame wants a dictionary')
  const single = (flags & 0x20) !== 0
  const sizeAt = single ? 5 : 6
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][flags >> 6] ?? 0
  need(view, sizeAt, sizeBytes)
  if (!single) checkWindow(view.getUint8(5))
  const contentBytes = contentSize(view, sizeAt, sizeBytes)
  if (contentBytes !== undefined && contentBytes !== BigInt(expectedBytes))
    throw brokenFrame(`its frame says that it holds ${contentBytes} bytes, the tensor takes ${expectedBytes}`)
  return sizeAt + sizeBytes
}

function checkWindow(descriptor: number): void {
  const base = 2 ** (10 + (descriptor >> 3))
  const windowBytes = base + (base / 8) * (descriptor & 7)
  if (windowBytes > 2 ** MAX_WINDOW_LOG)
    throw brokenFrame(
      `its frame wants a window of ${windowBytes} bytes, at most ${2 ** MAX_WINDOW_LOG} are given`,
    )
}

/** @returns undefined if the frame does not declare it. */
function contentSize(view: DataView, at: number, sizeBytes: number): bigint | undefined {
  if (sizeBytes === 1) return BigInt(view.getUint8(at))
  // So that sizes below 256 have one form only.
  if (sizeBytes === 2) return BigInt(view.getUint16(at, true) + 256)
  if (sizeBytes === 4) return BigInt(view.getUint32(at, true))
  return sizeBytes === 8 ? view.getBigUint64(at, true) : undefined
}

/** Adds up how much each block can hold at most. @returns where the last one ends. */
function walkBlocks(view: DataView, start: number) {
  let at = start
  let plainBytes = 0
  let compressedBlocks = 0
  for (let last = false; !last; ) {
    const header = view.getUint16(need(view, at, 3), true) | (view.getUint8(at + 2) << 16)
    last = (header & 1) !== 0
    const type = (header >> 1) & 3
    const size = header >> 3
    if (type === 3 || size > MAX_BLOCK_BYTES) throw brokenFrame('a block of its frame is not valid')
    if (type === 2) compressedBlocks += 1
    else plainBytes += size
    at += 3 + (type === 1 ? 1 : size)
  }
  return { end: at, plainBytes, compressedBlocks }
}

/** @returns `at`, if so many bytes follow. */
function need(view: DataView, at: number, count: number): number {
  if (at + count > view.byteLength) throw brokenFrame('its frame ends too early')
  return at
}
