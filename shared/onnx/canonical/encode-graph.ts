/** Encodes decoded graphs and their parts as models (wire/model-writer.ts). */
import { toBinary } from '@bufbuild/protobuf'
import { assemble, encodeUntypedValue, encodeValue, type ModelFrame } from '../wire/model-writer.ts'
import type { Graph } from './working-graph.ts'
import {
  FunctionProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type SparseTensorProto,
  SparseTensorProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from '../proto/onnx_pb.ts'
import { encodeNumber, encodeText, concatenate, encodeField } from '../wire/protobuf.ts'
import type { TypedTensor } from '../wire/element-types.ts'

const PRODUCER = 'scission'
/** Field numbers of ModelProto. */
const MODEL = { irVersion: 1, producer: 2, opsets: 8, functions: 25 } as const

export function frameOf(graph: Pick<Graph, 'irVersion' | 'opsets' | 'functions'>): ModelFrame {
  return {
    prefix: concatenate([
      encodeNumber(MODEL.irVersion, Number(graph.irVersion)),
      encodeText(MODEL.producer, PRODUCER),
    ]),
    suffix: concatenate([
      ...graph.opsets.flatMap((opset) =>
        encodeField(MODEL.opsets, toBinary(OperatorSetIdProtoSchema, opset)),
      ),
      ...graph.functions.flatMap((fn) => encodeField(MODEL.functions, toBinary(FunctionProtoSchema, fn))),
    ]),
  }
}

export interface GraphSelection {
  nodes: readonly NodeProto[]
  inputs: readonly TypedTensor[]
  /** ONNX Runtime infers the types of outputs that are given by name only. */
  outputs: readonly (string | TypedTensor)[]
  /** Selects the constants to include. @defaultValue all */
  keeps?: (name: string) => boolean
}

/** Encodes a model of some nodes of a graph, with its constants. */
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

export function encodeNode(node: NodeProto): Uint8Array {
  return toBinary(NodeProtoSchema, node)
}

export function encodeTensor(tensor: TensorProto): Uint8Array {
  return toBinary(TensorProtoSchema, tensor)
}

export function encodeSparse(tensor: SparseTensorProto): Uint8Array {
  return toBinary(SparseTensorProtoSchema, tensor)
}
