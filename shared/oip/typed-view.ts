/**
 * Typed arrays over the binary data of tensors. The protocol's data is little-endian, and so is every platform for which
 * onnxruntime-node has a binary.
 */
import type { Datatype } from '../contracts/common.ts'
import { ScissionError } from '../platform/errors.ts'
import { ELEMENT_BYTES, type Tensor } from '../contracts/tensor.ts'

export type FixedDatatype = Exclude<Datatype, 'BYTES'>

export type NumberArray =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Float32Array
  | Float64Array
export type LongArray = BigInt64Array | BigUint64Array
type View = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => NumberArray | LongArray

/** Half-precision elements are read as their bits: Node 20 has no Float16Array. */
const VIEWS: Record<FixedDatatype, View> = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  BF16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
}

/**
 * The elements of a tensor of any datatype but BYTES. Data at an unaligned address is copied.
 * @throws ScissionError internal for BYTES.
 */
export function typedView(tensor: Tensor): NumberArray | LongArray {
  const { datatype, bytes } = tensor
  if (datatype === 'BYTES') {
    throw new ScissionError('internal', `tensor ${tensor.name}: BYTES has elements of no fixed size`)
  }
  const size = ELEMENT_BYTES[datatype]
  // slice() would not copy: for a Node Buffer it returns another view of the same memory.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes)
  return new VIEWS[datatype](aligned.buffer, aligned.byteOffset, aligned.byteLength / size)
}

/** True if the elements are bigints. */
export const isLong = (array: NumberArray | LongArray): array is LongArray =>
  array instanceof BigInt64Array || array instanceof BigUint64Array
