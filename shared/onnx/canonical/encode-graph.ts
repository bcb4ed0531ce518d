/** Encodes decoded graphs and their parts as models (wire/model-writer.ts). */
import { create, toBinary } from '@bufbuild/protobuf'
import { assemble, encodeUntypedValue, encodeValue, type ModelFrame } from '../wire/model-writer.ts'
import type { Graph } from './working-graph.ts'
import {
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  SparseTensorProtoSchema,
  TensorProtoSchema,
} from '../proto/onnx_pb.ts'
import type { TypedTensor } from '../wire/element-types.ts'

export function frameOf(graph: Pick<Graph, 'irVersion' | 'opsets' | 'functions'>): ModelFrame {
  const { irVersion, opsets: opsetImport, functions } = graph
  return {
    prefix: toBinary(ModelProtoSchema, create(ModelProtoSchema, { irVersion, producerName: 'scission' })),
    suffix: toBinary(ModelProtoSchema, create(ModelProtoSchema, { opsetImport, functions })),
  }
}

export interface GraphSelection {
  nodes: readonly NodeProto[]
  inputs: readonly TypedTensor[]
  /** ONNX Runtime infers the types of outputs that are given by name only. */
  outputs: readonly (string | TypedTensor)[]
  /** Tensors inside the graph to declare. @defaultValue none */
  inner?: readonly TypedTensor[]
  /** Selects the constants to include. @defaultValue all */
  keeps?: (name: string) => boolean
}

/** Encodes a model of some nodes of a graph, with its constants. */
export function assembleGraph(graph: Graph, given: GraphSelection): Uint8Array {
  const kept = <T>(constants: ReadonlyMap<string, T>): T[] =>
    [...constants].flatMap(([name, constant]) => (!given.keeps || given.keeps(name) ? [constant] : []))
  return assemble(frameOf(graph), graph.name, {
    nodes: given.nodes.map((node) => toBinary(NodeProtoSchema, node)),
    initializers: kept(graph.constants).map((tensor) => toBinary(TensorProtoSchema, tensor)),
    sparse: kept(graph.sparse).map((tensor) => toBinary(SparseTensorProtoSchema, tensor)),
    inputs: given.inputs.map(encodeValue),
    outputs: given.outputs.map((output) =>
      typeof output === 'string' ? encodeUntypedValue(output) : encodeValue(output),
    ),
    inner: given.inner?.map(encodeValue) ?? [],
  })
}
