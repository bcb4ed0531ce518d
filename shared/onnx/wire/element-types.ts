/** The element types of ONNX tensors: size, and names in the protocol and in ONNX Runtime. */
import type { Tensor as RuntimeTensor } from 'onnxruntime-node'
import type { Datatype } from '../../contracts/common.ts'
import type { TensorProto_DataType as DataType } from '../proto/onnx_pb.ts'

export interface ElementType {
  /** As onnx.proto spells it. */
  name: string
  /** The number in the file (onnx.proto, TensorProto.DataType). */
  code: number
  /** Bits per element; sub-byte types are packed. Strings have no fixed size: 0. */
  bits: number
  /** The protocol's name; absent for types that cannot be sent (they may still be weights). */
  datatype?: Datatype
  /** onnxruntime-node's name; absent for types that its JavaScript side does not have. */
  runtime?: RuntimeTensor.Type
}

/**
 * By the names in onnx.proto, in the order of their numbers from 1. Written out, so that code that needs only these does not
 * load the protobuf library.
 */
const TYPES: Record<Exclude<keyof typeof DataType, 'UNDEFINED'>, Omit<ElementType, 'name' | 'code'>> = {
  FLOAT: { bits: 32, datatype: 'FP32', runtime: 'float32' },
  UINT8: { bits: 8, datatype: 'UINT8', runtime: 'uint8' },
  INT8: { bits: 8, datatype: 'INT8', runtime: 'int8' },
  UINT16: { bits: 16, datatype: 'UINT16', runtime: 'uint16' },
  INT16: { bits: 16, datatype: 'INT16', runtime: 'int16' },
  INT32: { bits: 32, datatype: 'INT32', runtime: 'int32' },
  INT64: { bits: 64, datatype: 'INT64', runtime: 'int64' },
  STRING: { bits: 0, datatype: 'BYTES', runtime: 'string' },
  BOOL: { bits: 8, datatype: 'BOOL', runtime: 'bool' },
  FLOAT16: { bits: 16, datatype: 'FP16', runtime: 'float16' },
  DOUBLE: { bits: 64, datatype: 'FP64', runtime: 'float64' },
  UINT32: { bits: 32, datatype: 'UINT32', runtime: 'uint32' },
  UINT64: { bits: 64, datatype: 'UINT64', runtime: 'uint64' },
  COMPLEX64: { bits: 64 },
  COMPLEX128: { bits: 128 },
  BFLOAT16: { bits: 16 },
  FLOAT8E4M3FN: { bits: 8 },
  FLOAT8E4M3FNUZ: { bits: 8 },
  FLOAT8E5M2: { bits: 8 },
  FLOAT8E5M2FNUZ: { bits: 8 },
  UINT4: { bits: 4 },
  INT4: { bits: 4 },
  FLOAT4E2M1: { bits: 4 },
  FLOAT8E8M0: { bits: 8 },
  UINT2: { bits: 2 },
  INT2: { bits: 2 },
}

const TABLE = Object.entries(TYPES).map(
  ([name, type], index): ElementType => ({ name, code: index + 1, ...type }),
)

/** The numbers by name. */
export const CODE = Object.fromEntries([
  ['UNDEFINED', 0],
  ...TABLE.map(({ name, code }) => [name, code]),
]) as Readonly<Record<keyof typeof DataType, number>>

const byRuntime = new Map<string | undefined, ElementType>(TABLE.map((type) => [type.runtime, type]))
const byDatatype = new Map(TABLE.map((type) => [type.datatype, type]))

/** The element type with this number in the file; undefined for 0 and for numbers that are missing in the table. */
export function elementTypeOf(code: number): ElementType | undefined {
  return TABLE[code - 1]
}

/** The element type that onnxruntime-node calls `runtime` (`float32`, …). */
export function elementTypeOfRuntime(runtime: string): ElementType | undefined {
  return byRuntime.get(runtime)
}

/** The element type of a protocol datatype; undefined for BF16, which onnxruntime-node does not have. */
export function elementTypeOfDatatype(datatype: Datatype): ElementType | undefined {
  return byDatatype.get(datatype)
}

/** Bytes of `count` elements, rounded up for packed sub-byte types. */
export function bytesOfElements(type: ElementType, count: number): number {
  return Math.ceil((count * type.bits) / 8)
}

/** A tensor's element type (its number in the file) and shape; -1 marks an unknown dimension. */
export interface TypedTensor {
  name: string
  code: number
  shape: number[]
  /** Names of the unknown dimensions, by axis; equal names mean equal sizes. */
  symbols?: readonly string[]
  /** The number of dimensions is not known before a run; `shape` is then [], or has one -1 for each that a run showed. */
  anyRank?: true
}

/** Bytes of a tensor of this type; undefined if a dimension is unknown. */
export function bytesOfType({ code, shape }: TypedTensor): number | undefined {
  const element = elementTypeOf(code)
  if (!element || shape.includes(-1)) return undefined
  return bytesOfElements(
    element,
    shape.reduce((product, dim) => product * dim, 1),
  )
}
