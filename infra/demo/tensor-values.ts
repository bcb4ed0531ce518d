/** Converts a tensor's elements to JavaScript numbers, to compare and print them. Too slow for the tensor path. */
import { isLong, typedView } from '../../shared/oip/typed-view.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'

/** 64-bit integers are rounded to the nearest double. @throws ScissionError internal for BYTES, which holds no numbers. */
export function tensorValues(tensor: Tensor): ArrayLike<number> {
  const elements = typedView(tensor)
  if (isLong(elements)) return Float64Array.from(elements, Number)
  if (tensor.datatype === 'FP16') return Float64Array.from(elements, halfToNumber)
  if (tensor.datatype === 'BF16') return Float64Array.from(elements, bfloatToNumber)
  return elements
}

/** IEEE 754 binary16. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** bfloat16 is the upper half of a binary32. */
function bfloatToNumber(bits: number): number {
  const view = new DataView(new ArrayBuffer(4))
  view.setUint32(0, bits << 16)
  return view.getFloat32(0)
}
