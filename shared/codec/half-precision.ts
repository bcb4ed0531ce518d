/** Half precision: each fp32 element is rounded to the nearest IEEE 754 half, ties to even. */
import { CHUNK_ELEMENTS, CODES, FLOATS, type Workspace, workspace } from './simd/kernel-workspace.ts'

/** The largest finite half. */
export const MAX_HALF = 65_504

/** @param bytes fp32 elements with magnitudes of at most MAX_HALF. @returns two bytes per element. */
export function encodeHalf(bytes: Uint8Array, work: Workspace = workspace()): Uint8Array<ArrayBuffer> {
  const count = bytes.byteLength / 4
  const out = new Uint8Array(2 * count)
  for (let start = 0; start < count; start += CHUNK_ELEMENTS) {
    const end = Math.min(count, start + CHUNK_ELEMENTS)
    work.bytes.set(bytes.subarray(4 * start, 4 * end), FLOATS)
    work.kernels.toHalf(FLOATS, FLOATS + 4 * (end - start), CODES)
    out.set(work.bytes.subarray(CODES, CODES + 2 * (end - start)), 2 * start)
  }
  return out
}

/** @param bytes halves. @returns fp32 elements with the same values. */
export function decodeHalf(bytes: Uint8Array, work: Workspace = workspace()): Uint8Array<ArrayBuffer> {
  const count = bytes.byteLength / 2
  const out = new Uint8Array(4 * count)
  for (let start = 0; start < count; start += CHUNK_ELEMENTS) {
    const end = Math.min(count, start + CHUNK_ELEMENTS)
    work.bytes.set(bytes.subarray(2 * start, 2 * end), CODES)
    work.kernels.fromHalf(CODES, CODES + 2 * (end - start), FLOATS)
    out.set(work.bytes.subarray(FLOATS, FLOATS + 4 * (end - start)), 4 * start)
  }
  return out
}
