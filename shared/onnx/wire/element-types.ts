/** The element types of ONNX tensors: size, and names in the protocol and in ONNX Runtime. */
import type { Tensor as RuntimeTensor } from 'onnxruntime-node'
import type { Datatype } from '../../contracts/common.ts'
import type { TensorProto_DataType as DataType } from '../proto/onnx_pb.ts'

export interface ElementType {
  /** The number in the file (onnx.proto, TensorProto.DataType). */
  code: number
  /** As onnx.proto spells it. */
  name: string
  /** Bits per element; sub-byte types are packed. Strings have no fixed size: 0. */
  bits: number
  /** The protocol's name; absent for types that cannot be sent (they may still be weights). */
  datatype?: Datatype
  /** onnxruntime-node's name; absent for types that its JavaScript side does not have. */
  runtime?: RuntimeTensor.Type
}

/**
 * The numbers by name (onnx.proto, TensorProto.DataType). Written out, so that code that needs only these does not load the
 * protobuf library.
 */
export const CODE: Readonly<Record<keyof typeof DataType, number>> = {
  UNDEFINED: 0,
  FLOAT: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  STRING: 8,
  BOOL: 9,
  FLOAT16: 10,
  DOUBLE: 11,
  UINT32: 12,
  UINT64: 13,
  COMPLEX64: 14,
  COMPLEX128: 15,
  BFLOAT16: 16,
  FLOAT8E4M3FN: 17,
  FLOAT8E4M3FNUZ: 18,
  FLOAT8E5M2: 19,
  FLOAT8E5M2FNUZ: 20,
  UINT4: 21,
  INT4: 22,
  FLOAT4E2M1: 23,
  FLOAT8E8M0: 24,
  UINT2: 25,
  INT2: 26,
}

function row(
  name: keyof typeof DataType,
  bits: number,
  datatype?: Datatype,
  runtime?: RuntimeTensor.Type,
): ElementType {
  return {
    code: CODE[name],
    name,
    bits,
    ...(datatype === undefined ? {} : { datatype }),
    ...(runtime === undefined ? {} : { runtime }),
  }
}

const TABLE: readonly ElementType[] = [
  row('FLOAT', 32, 'FP32', 'float32'),
  row('UINT8', 8, 'UINT8', 'uint8'),
  row('INT8', 8, 'INT8', 'int8'),
  row('UINT16', 16, 'UINT16', 'uint16'),
  row('INT16', 16, 'INT16', 'int16'),
  row('INT32', 32, 'INT32', 'int32'),
  row('INT64', 64, 'INT64', 'int64'),
  row('STRING', 0, 'BYTES', 'string'),
  row('BOOL', 8, 'BOOL', 'bool'),
  row('FLOAT16', 16, 'FP16', 'float16'),
  row('DOUBLE', 64, 'FP64', 'float64'),
  row('UINT32', 32, 'UINT32', 'uint32'),
  row('UINT64', 64, 'UINT64', 'uint64'),
  row('COMPLEX64', 64),
  row('COMPLEX128', 128),
  row('BFLOAT16', 16),
  row('FLOAT8E4M3FN', 8),
  row('FLOAT8E4M3FNUZ', 8),
  row('FLOAT8E5M2', 8),
  row('FLOAT8E5M2FNUZ', 8),
  row('UINT4', 4),
  row('INT4', 4),
  row('FLOAT4E2M1', 4),
  row('FLOAT8E8M0', 8),
  row('UINT2', 2),
  row('INT2', 2),
]

const byCode = new Map(TABLE.map((type) => [type.code, type]))
const byRuntime = new Map<string, ElementType>(
  TABLE.flatMap((type) => (type.runtime ? [[type.runtime, type] as const] : [])),
)
const byDatatype = new Map(TABLE.flatMap((type) => (type.datatype ? [[type.datatype, type] as const] : [])))

/** The element type with this number in the file; undefined for 0 and for numbers that are missing in the table. */
export function elementTypeOf(code: number): ElementType | undefined {
  return byCode.get(code)
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
