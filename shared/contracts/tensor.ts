/** A tensor in transit: bytes little-endian, row-major, as in the Open Inference Protocol's binary form. */
import type { Datatype } from './common.ts'
import { ScissionError } from '../platform/errors.ts'

export interface Tensor {
  name: string
  datatype: Datatype
  shape: number[]
  /** A view. Its buffer may be larger, and the last holder of the tensor may move it to another thread. */
  bytes: Uint8Array
}

/** Bytes of one element; the elements of BYTES vary. */
export const ELEMENT_BYTES: Record<Exclude<Datatype, 'BYTES'>, number> = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  BF16: 2,
  FP32: 4,
  FP64: 8,
}

/** Product of the dimensions. @throws ScissionError invalidTensor if it is not a safe integer. */
export function elementCount(shape: readonly number[]): number {
  let count = 1
  for (const dim of shape) count *= dim
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new ScissionError('invalidTensor', `shape [${shape.join(',')}] has too many elements`, { shape })
  }
  return count
}

/** Bytes of a tensor. @throws ScissionError invalidTensor for BYTES, whose size does not follow from its shape. */
export function byteLength(datatype: Datatype, shape: readonly number[]): number {
  if (datatype === 'BYTES')
    throw new ScissionError('invalidTensor', 'the size of a BYTES tensor depends on its elements')
  return elementCount(shape) * ELEMENT_BYTES[datatype]
}
