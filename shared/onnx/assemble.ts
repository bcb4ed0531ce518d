/**
 * Puts encoded parts together into a model file.
 *
 * A sub-model is mostly copies of parts that were encoded once, so the two outer messages are framed by hand and
 * the parts are only concatenated: writing dozens of sub-models takes milliseconds.
 * Field numbers from onnx.proto (ModelProto, GraphProto).
 */
import { create, toBinary } from '@bufbuild/protobuf'
import {
  FunctionProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type SparseTensorProto,
  SparseTensorProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from './proto/onnx_pb.ts'
import type { Graph, TypedTensor } from './graph.ts'
import { concatenate, encodeField, encodeHeader, encodeVarint, WIRE_VARINT } from './wire.ts'

/** Encoded messages by the GraphProto field they belong in. */
export interface GraphParts {
  nodes: readonly Uint8Array[]
  initializers: readonly Uint8Array[]
  sparse: readonly Uint8Array[]
  inputs: readonly Uint8Array[]
  outputs: readonly Uint8Array[]
}

/** Everything around the graph: encoded once per model. */
export interface ModelFrame {
  prefix: Uint8Array
  suffix: Uint8Array
}

const PRODUCER = 'scission'

export function frameOf(graph: Pick<Graph, 'irVersion' | 'opsets' | 'functions'>): ModelFrame {
  return {
    prefix: concatenate([
      Uint8Array.from([8 + WIRE_VARINT, ...encodeVarint(Number(graph.irVersion))]),
      ...encodeField(2, new TextEncoder().encode(PRODUCER)),
    ]),
    suffix: concatenate([
      ...graph.opsets.flatMap((opset) => encodeField(8, toBinary(OperatorSetIdProtoSchema, opset))),
      ...graph.functions.flatMap((fn) => encodeField(25, toBinary(FunctionProtoSchema, fn))),
    ]),
  }
}

export function assemble(frame: ModelFrame, name: string, parts: GraphParts): Uint8Array {
  const repeated: [number, readonly Uint8Array[]][] = [
    [1, parts.nodes],
    [2, [new TextEncoder().encode(name || 'graph')]],
    [5, parts.initializers],
    [11, parts.inputs],
    [12, parts.outputs],
    [15, parts.sparse],
  ]
  const chunks = repeated.flatMap(([field, values]) => values.flatMap((value) => encodeField(field, value)))
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  return concatenate([frame.prefix, encodeHeader(7, length), ...chunks, frame.suffix])
}

export interface GraphSelection {
  nodes: readonly NodeProto[]
  inputs: readonly TypedTensor[]
  /** Where only a name is given, ONNX Runtime works the type out. */
  outputs: readonly (string | TypedTensor)[]
  /** Which constants go in. @defaultValue all */
  keeps?: (name: string) => boolean
}

/** A model of some nodes of a graph, with its constants. */
export function assembleGraph(graph: Graph, given: GraphSelection): Uint8Array {
  const kept = <T>(constants: ReadonlyMap<string, T>): T[] =>
    [...constants].flatMap(([name, constant]) => (!given.keeps || given.keeps(name) ? [constant] : []))
  return assemble(frameOf(graph), graph.name, {
    nodes: given.nodes.map(encodeNode),
    initializers: kept(graph.constants).map(encodeTensor),
    sparse: kept(graph.sparse).map(encodeSparse),
    inputs: given.inputs.map(encodeValue),
    outputs: given.outputs.map((output) =>
      typeof output === 'string' ? encodeUntypedValue(output) : encodeValue(output),
    ),
  })
}

/** A graph input or output with its type; unknown dimensions are left open. */
export function encodeValue(value: TypedTensor): Uint8Array {
  return toBinary(ValueInfoProtoSchema, valueInfo(value))
}

/** An output whose type ONNX Runtime is to work out. */
function encodeUntypedValue(name: string): Uint8Array {
  return toBinary(ValueInfoProtoSchema, create(ValueInfoProtoSchema, { name }))
}

function valueInfo({ name, code, shape }: TypedTensor): ValueInfoProto {
  const dim = shape.map((size) =>
    create(TensorShapeProto_DimensionSchema, {
      value: size < 0 ? { case: undefined } : { case: 'dimValue', value: BigInt(size) },
    }),
  )
  const tensor = create(TypeProto_TensorSchema, {
    elemType: code,
    shape: create(TensorShapeProtoSchema, { dim }),
  })
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value: tensor } }),
  })
}

export function encodeNode(node: NodeProto): Uint8Array {
  return toBinary(NodeProtoSchema, node)
}

export function encodeTensor(tensor: TensorProto): Uint8Array {
  return toBinary(TensorProtoSchema, tensor)
}

export function encodeSparse(tensor: SparseTensorProto): Uint8Array {
  return toBinary(SparseTensorProtoSchema, tensor)
}
