/** Converts a tensor's elements to JavaScript numbers, to compare and print them. Too slow for the tensor path. */
import { decodeHalf } from '../codec/half-precision.ts'
import type { Tensor } from '../contracts/tensor.ts'
import { isLong, typedView } from '../oip/typed-view.ts'

/** 64-bit integers are rounded to the nearest double. @throws ScissionError internal for BYTES, which holds no numbers. */
export function tensorValues(tensor: Tensor): ArrayLike<number> {
  const elements = typedView(tensor)
  if (isLong(elements)) return Float64Array.from(elements, Number)
  if (tensor.datatype === 'FP16') return new Float32Array(decodeHalf(tensor.bytes).buffer)
  // bfloat16 is the upper half of a binary32.
  if (tensor.datatype === 'BF16')
    return new Float32Array(Uint32Array.from(elements, (bits) => bits << 16).buffer)
  return elements
}
