/** Makes small ONNX models in memory for tests: a word per message. */
import { create, toBinary } from '@bufbuild/protobuf'
import {
  type AttributeProto,
  AttributeProto_AttributeType as Kind,
  AttributeProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
  TensorProto_DataType as DataType,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../../../shared/onnx/proto/onnx_pb.ts'

export { DataType }

/** A dimension: fixed, symbolic, or unnamed and open (null). */
export type Dim = number | string | null

export function value(
  name: string,
  shape: readonly Dim[] | undefined,
  type: DataType = DataType.FLOAT,
): ValueInfoProto {
  const dim = shape?.map((size) => {
    if (size === null) return create(TensorShapeProto_DimensionSchema, {})
    return create(TensorShapeProto_DimensionSchema, {
      value:
        typeof size === 'string'
          ? { case: 'dimParam', value: size }
          : { case: 'dimValue', value: BigInt(size) },
    })
  })
  const tensor = create(TypeProto_TensorSchema, {
    elemType: type,
    ...(dim ? { shape: create(TensorShapeProtoSchema, { dim }) } : {}),
  })
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value: tensor } }),
  })
}

/** An output without a type, which the format forbids. */
export function untyped(name: string): ValueInfoProto {
  return create(ValueInfoProtoSchema, { name })
}

/** Numbers are integers where they can be; for others there are `real` and `parameter`. */
export type AttributeValue =
  | number
  | bigint
  | string
  | readonly number[]
  | readonly string[]
  | TensorProto
  | GraphProto
  | AttributeProto

/** A FLOAT, also of a whole number. */
export const real = (f: number): AttributeProto => create(AttributeProtoSchema, { type: Kind.FLOAT, f })

/** The attribute of that name of the function that the node is in, which is a FLOAT. */
export const parameter = (refAttrName: string): AttributeProto =>
  create(AttributeProtoSchema, { type: Kind.FLOAT, refAttrName })

function attribute(name: string, given: AttributeValue): AttributeProto {
  if (typeof given === 'bigint') return create(AttributeProtoSchema, { name, type: Kind.INT, i: given })
  if (typeof given === 'number') {
    return Number.isInteger(given)
      ? create(AttributeProtoSchema, { name, type: Kind.INT, i: BigInt(given) })
      : create(AttributeProtoSchema, { name, type: Kind.FLOAT, f: given })
  }
  if (typeof given === 'string')
    return create(AttributeProtoSchema, { name, type: Kind.STRING, s: Buffer.from(given) })
  if ('$typeName' in given) {
    if (given.$typeName === 'onnx.AttributeProto') return Object.assign(given, { name })
    return given.$typeName === 'onnx.GraphProto'
      ? create(AttributeProtoSchema, { name, type: Kind.GRAPH, g: given })
      : create(AttributeProtoSchema, { name, type: Kind.TENSOR, t: given })
  }
  const texts = given.flatMap((one) => (typeof one === 'string' ? Buffer.from(one) : []))
  if (texts.length > 0) return create(AttributeProtoSchema, { name, type: Kind.STRINGS, strings: texts })
  return create(AttributeProtoSchema, { name, type: Kind.INTS, ints: given.map(BigInt) })
}

export function node(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  attributes: Record<string, AttributeValue> = {},
  more: { name?: string; domain?: string; overload?: string } = {},
): NodeProto {
  return create(NodeProtoSchema, {
    opType,
    input: [...input],
    output: [...output],
    name: more.name ?? `${opType}:${output[0]}`,
    domain: more.domain ?? '',
    // Set, it would be written even if it is empty.
    ...(more.overload !== undefined && { overload: more.overload }),
    attribute: Object.entries(attributes).map(([name, given]) => attribute(name, given)),
  })
}

/** FLOAT values, repeated to fill the shape; without any, a sine. */
export function floats(name: string, shape: readonly number[], values?: readonly number[]): TensorProto {
  const count = shape.reduce((product, dim) => product * dim, 1)
  const at = (i: number) => values?.[i % values.length] ?? Math.sin(i + 1) / 2
  const data = Float32Array.from({ length: count }, (_, i) => at(i))
  return tensorOf(name, shape, DataType.FLOAT, new Uint8Array(data.buffer))
}

/** @param bytes of the elements in the raw layout: row-major, little-endian. */
export function tensorOf(
  name: string,
  shape: readonly number[],
  dataType: DataType,
  bytes: Uint8Array<ArrayBuffer>,
): TensorProto {
  return create(TensorProtoSchema, { name, dataType, dims: shape.map(BigInt), rawData: bytes })
}

export function ints(
  name: string,
  values: readonly number[],
  shape: readonly number[] = [values.length],
): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dataType: DataType.INT64,
    dims: shape.map(BigInt),
    int64Data: values.map(BigInt),
  })
}

export interface GraphWords {
  nodes: readonly NodeProto[]
  inputs?: readonly ValueInfoProto[]
  outputs: readonly ValueInfoProto[]
  constants?: readonly TensorProto[]
}

export function graph(
  { nodes, inputs = [], outputs, constants = [] }: GraphWords,
  name = 'test',
): GraphProto {
  return create(GraphProtoSchema, {
    name,
    node: [...nodes],
    input: [...inputs],
    output: [...outputs],
    initializer: [...constants],
  })
}

export function model(words: GraphWords, opset = 17, irVersion = 8): ModelProto {
  return create(ModelProtoSchema, {
    irVersion: BigInt(irVersion),
    graph: graph(words),
    opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(opset) })],
  })
}

export function encode(given: ModelProto): Uint8Array {
  return toBinary(ModelProtoSchema, given)
}

/** Makes `tensor` point at the bytes; its inline payload, if any, is the caller's to clear. */
export function setReference(tensor: TensorProto, location: string, offset: number, length: number): void {
  const pairs = { location, offset: String(offset), length: String(length) }
  tensor.dataLocation = TensorProto_DataLocation.EXTERNAL
  tensor.externalData = Object.entries(pairs).map(([key, value]) =>
    create(StringStringEntryProtoSchema, { key, value }),
  )
}
