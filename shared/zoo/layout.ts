/**
 * The bytes of a zoo model's .onnx file, weights left out: all frames and small messages in file order, with
 * a place held for each weight tensor.
 *
 * Protobuf nests messages with their length in front, so every size must be known before the first byte is
 * written; they follow from the weights' shapes. Small messages are encoded by the library. Only the frames
 * around weights (ModelProto.graph, GraphProto.initializer, TensorProto.raw_data) are made here.
 */
import { create, toBinary } from '@bufbuild/protobuf'
import {
  GraphProtoSchema,
  ModelProtoSchema,
  TensorProto_DataType,
  TensorProtoSchema,
} from '../onnx/proto/onnx_pb.ts'
import type { WeightSpec, ZooGraph } from './graph.ts'
import { elements } from './graph.ts'
import { graphMessage, modelMessage } from './onnx-messages.ts'
import { encodeHeader } from '../onnx/wire/protobuf.ts'

const FLOAT_BYTES = 4

export type Piece =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'weight'; readonly weight: WeightSpec }

export interface FileLayout {
  /** In file order. */
  readonly pieces: readonly Piece[]
  readonly totalBytes: number
}

export function layoutModel(graph: ZooGraph): FileLayout {
  const weights = graph.weights.map((weight) => ({ weight, ...frameWeight(weight) }))
  const graphHead = toBinary(GraphProtoSchema, graphMessage(graph))
  const graphBytes = weights.reduce(
    (sum, { head, dataBytes }) => sum + head.length + dataBytes,
    graphHead.length,
  )
  const modelHead = toBinary(ModelProtoSchema, modelMessage())
  const graphFrame = encodeHeader(ModelProtoSchema.field.graph.number, graphBytes)

  const pieces: Piece[] = [modelHead, graphFrame, graphHead].map((bytes) => ({ kind: 'bytes', bytes }))
  for (const { weight, head } of weights)
    pieces.push({ kind: 'bytes', bytes: head }, { kind: 'weight', weight })
  return { pieces, totalBytes: modelHead.length + graphFrame.length + graphBytes }
}

/** The bytes before a weight's values in the file, and the number of bytes of the values. */
function frameWeight({ name, shape }: WeightSpec): { head: Uint8Array; dataBytes: number } {
  const dataBytes = elements(shape) * FLOAT_BYTES
  const dataType = TensorProto_DataType.FLOAT
  const tensor = create(TensorProtoSchema, { name, dims: shape.map(BigInt), dataType })
  const tensorHead = toBinary(TensorProtoSchema, tensor)
  const dataFrame = encodeHeader(TensorProtoSchema.field.rawData.number, dataBytes)
  const tensorBytes = tensorHead.length + dataFrame.length + dataBytes
  const tensorFrame = encodeHeader(GraphProtoSchema.field.initializer.number, tensorBytes)
  return { head: Buffer.concat([tensorFrame, tensorHead, dataFrame]), dataBytes }
}
