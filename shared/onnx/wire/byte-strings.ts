/** Finds strings in a model's file that are bytes and no text: ONNX stores strings as bytes of any kind. */
import { fromBinary } from '@bufbuild/protobuf'
import {
  type AttributeProto,
  type GraphProto,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
} from '../proto/onnx_pb.ts'

const decoder = new TextDecoder('utf-8', { fatal: true })

/** @param file a model without large weights: all of it is parsed. @returns whether any of its strings is not UTF-8. */
export function holdsByteStrings(file: Uint8Array): boolean {
  const { graph, functions } = fromBinary(ModelProtoSchema, file)
  return (graph !== undefined && inGraph(graph)) || functions.some(({ node }) => node.some(inNode))
}

const inGraph = ({ initializer, sparseInitializer, node }: GraphProto): boolean =>
  initializer.some(inTensor) || sparseInitializer.some(({ values }) => inTensor(values)) || node.some(inNode)

const inNode = ({ attribute }: NodeProto): boolean => attribute.some(inAttribute)

const inAttribute = ({ s, strings, t, tensors, g, graphs, sparseTensor, sparseTensors }: AttributeProto) =>
  !isText(s) ||
  strings.some((text) => !isText(text)) ||
  [t, sparseTensor?.values, ...tensors, ...sparseTensors.map(({ values }) => values)].some(inTensor) ||
  (g !== undefined && inGraph(g)) ||
  graphs.some(inGraph)

const inTensor = (tensor: TensorProto | undefined): boolean =>
  tensor?.stringData.some((text) => !isText(text)) ?? false

function isText(bytes: Uint8Array): boolean {
  try {
    decoder.decode(bytes)
    return true
  } catch {
    return false
  }
}
