/**
 * How the messages of onnx.proto nest, and which of their fields are skipped: those that neither this program nor ONNX Runtime needs to run a model: texts about it, and declared types
 * of inner tensors, which ONNX Runtime infers by itself. Exporters write whole stack traces into the texts.
 * Numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */
import type { DescMessage } from '@bufbuild/protobuf'
import { ModelProtoSchema } from '../proto/onnx_pb.ts'

/** A message type and its fields that hold messages, by field number. */
export interface MessageLayout {
  type: DescMessage
  /** Fields that are skipped. */
  unused: ReadonlySet<number>
  /** Fields that onnx.proto has, as far as this program reads it. */
  known: ReadonlySet<number>
  children: Record<number, { label: string; layout: MessageLayout }>
}

/** By message, the numbers of its length-delimited fields that are skipped. */
const UNUSED: Readonly<Record<string, readonly number[]>> = {
  // doc_string, metadata_props, training_info
  'onnx.ModelProto': [6, 14, 20],
  // doc_string, value_info, quantization_annotation, metadata_props
  'onnx.GraphProto': [10, 13, 14, 16],
  // doc_string, metadata_props
  'onnx.NodeProto': [6, 9],
  // doc_string
  'onnx.AttributeProto': [13],
  // doc_string, metadata_props
  'onnx.ValueInfoProto': [3, 4],
  // doc_string, metadata_props
  'onnx.TensorProto': [12, 16],
  // doc_string, value_info, metadata_props
  'onnx.FunctionProto': [8, 12, 14],
}

const layouts = new Map<DescMessage, MessageLayout>()
function layoutOf(type: DescMessage): MessageLayout {
  const made = layouts.get(type)
  if (made) return made
  const unused = new Set(UNUSED[type.typeName])
  const known = new Set(type.fields.map(({ number }) => number))
  const layout: MessageLayout = { type, unused, known, children: {} }
  layouts.set(type, layout)
  for (const { number, name, message } of type.fields) {
    if (message && !unused.has(number)) layout.children[number] = { label: name, layout: layoutOf(message) }
  }
  return layout
}

export const MODEL = layoutOf(ModelProtoSchema)
