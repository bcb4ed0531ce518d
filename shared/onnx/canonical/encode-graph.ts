/** Encodes decoded graphs and their parts as models (wire/model-writer.ts). */
import { create, toBinary } from '@bufbuild/protobuf'
import { assemble, encodeUntypedValue, encodeValue, type ModelFrame } from '../wire/model-writer.ts'
import { calledFunctions } from './functions.ts'
import type { Graph } from './working-graph.ts'
import {
  type FunctionProto,
  FunctionProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  SparseTensorProtoSchema,
  TensorProtoSchema,
} from '../proto/onnx_pb.ts'
import type { TypedTensor } from '../wire/element-types.ts'

function frameOf({ irVersion, opsets: opsetImport }: Pick<Graph, 'irVersion' | 'opsets'>): ModelFrame {
  return {
    prefix: toBinary(ModelProtoSchema, create(ModelProtoSchema, { irVersion, producerName: 'scission' })),
    suffix: toBinary(ModelProtoSchema, create(ModelProtoSchema, { opsetImport })),
  }
}

export interface GraphSelection {
  nodes: readonly NodeProto[]
  /** Those that are encoded already are used as they are. */
  inputs: readonly (TypedTensor | Uint8Array)[]
  /** ONNX Runtime infers the types of outputs that are given by name only. */
  outputs: readonly (string | TypedTensor)[]
  /** Tensors inside the graph to declare. @defaultValue none */
  inner?: readonly TypedTensor[]
  /** Selects the constants to include. @defaultValue all */
  keeps?: (name: string) => boolean
}

/** Functions are not changed once a graph is made, and some hold large constants. */
const encodedFunctions = new WeakMap<FunctionProto, Uint8Array>()

function encodeFunction(fn: FunctionProto): Uint8Array {
  const encoded = encodedFunctions.get(fn) ?? toBinary(FunctionProtoSchema, fn)
  encodedFunctions.set(fn, encoded)
  return encoded
}

/** Encodes a model of some nodes of a graph, with its constants and the functions that these nodes call. */
export function assembleGraph(graph: Graph, given: GraphSelection): Uint8Array {
  const kept = <T>(constants: ReadonlyMap<string, T>): T[] =>
    [...constants].flatMap(([name, constant]) => (!given.keeps || given.keeps(name) ? [constant] : []))
  return assemble(frameOf(graph), graph.name, {
    nodes: given.nodes.map((node) => toBinary(NodeProtoSchema, node)),
    initializers: kept(graph.constants).map((tensor) => toBinary(TensorProtoSchema, tensor)),
    sparse: kept(graph.sparse).map((tensor) => toBinary(SparseTensorProtoSchema, tensor)),
    functions: calledFunctions(graph.functions, given.nodes).map(encodeFunction),
    inputs: given.inputs.map((input) => (input instanceof Uint8Array ? input : encodeValue(input))),
    outputs: given.outputs.map((output) =>
      typeof output === 'string' ? encodeUntypedValue(output) : encodeValue(output),
    ),
    inner: given.inner?.map(encodeValue) ?? [],
  })
}
