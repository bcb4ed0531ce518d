/** Half precision: each fp32 element is rounded to the nearest IEEE 754 half, ties to even. */
import { CHUNK_ELEMENTS, CODES, FLOATS, type Workspace, workspace } from './simd/kernel-workspace.ts'
import type { Kernels } from './simd/simd-kernels.ts'

/** The largest finite half. */
export const MAX_HALF = 65_504

const FLOAT = { area: FLOATS, bytes: 4 }
const HALF = { area: CODES, bytes: 2 }

/** @param bytes fp32 elements with magnitudes of at most MAX_HALF. @returns two bytes per element. */
export const encodeHalf = (bytes: Uint8Array, work = workspace()): Uint8Array<ArrayBuffer> =>
  convert(bytes, FLOAT, HALF, work.kernels.toHalf, work)

/** @param bytes halves. @returns fp32 elements with the same values. */
export const decodeHalf = (bytes: Uint8Array, work = workspace()): Uint8Array<ArrayBuffer> =>
  convert(bytes, HALF, FLOAT, work.kernels.fromHalf, work)

/** Runs the kernel over all elements, chunk by chunk. */
function convert(
  bytes: Uint8Array,
  from: typeof FLOAT,
  to: typeof FLOAT,
  kernel: Kernels['toHalf'],
  work: Workspace,
): Uint8Array<ArrayBuffer> {
  const count = bytes.byteLength / from.bytes
  const out = new Uint8Array(to.bytes * count)
  for (let start = 0; start < count; start += CHUNK_ELEMENTS) {
    const end = Math.min(count, start + CHUNK_ELEMENTS)
    work.bytes.set(bytes.subarray(from.bytes * start, from.bytes * end), from.area)
    kernel(from.area, from.area + from.bytes * (end - start), to.area)
    out.set(work.bytes.subarray(to.area, to.area + to.bytes * (end - start)), to.bytes * start)
  }
  return out
}
