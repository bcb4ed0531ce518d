/** A tensor on its way: bytes little-endian, row-major, exactly as the Open Inference Protocol's binary form has them. */
import type { Datatype } from './common.ts'
import { ScissionError } from '../platform/errors.ts'

export interface Tensor {
  name: string
  datatype: Datatype
  shape: number[]
  /** A view; its buffer may be larger and may be moved to another thread by whoever holds the tensor last. */
  bytes: Uint8Array
}

/** Bytes of one element; BYTES is variable and has none. */
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

/** Product of the dimensions. @throws ScissionError invalidTensor when it is not a safe integer. */
export function elementCount(shape: readonly number[]): number {
  let count = 1
  for (const dim of shape) count *= dim
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new ScissionError('invalidTensor', `shape [${shape.join(',')}] has too many elements`, { shape })
  }
  return count
}

/** @throws ScissionError invalidTensor for BYTES, whose size its shape does not tell. */
export function byteLength(datatype: Datatype, shape: readonly number[]): number {
  if (datatype === 'BYTES')
    throw new ScissionError('invalidTensor', 'the size of a BYTES tensor depends on its elements')
  return elementCount(shape) * ELEMENT_BYTES[datatype]
}
