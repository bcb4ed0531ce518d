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
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type TensorProto,
  TensorProto_DataType,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../onnx/proto/onnx_pb.ts'
import { encodeHeader } from '../onnx/wire/protobuf.ts'
import { type ConstantSpec, elements, type NamedShape, type WeightSpec, type ZooGraph } from './graph.ts'

const FLOAT_BYTES = 4

/** Pieces of the file in order: bytes, or a weight whose values stand there. */
export function layoutModel(graph: ZooGraph): { pieces: (Uint8Array | WeightSpec)[]; totalBytes: number } {
  const weights = graph.weights.map((weight) => ({ weight, ...frameWeight(weight) }))
  const graphHead = toBinary(GraphProtoSchema, graphMessage(graph))
  const graphBytes = weights.reduce(
    (sum, { head, dataBytes }) => sum + head.length + dataBytes,
    graphHead.length,
  )
  const modelHead = toBinary(ModelProtoSchema, modelMessage())
  const graphFrame = encodeHeader(ModelProtoSchema.field.graph.number, graphBytes)
  const pieces = [modelHead, graphFrame, graphHead, ...weights.flatMap(({ weight, head }) => [head, weight])]
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

/** Readable since ONNX 1.13 and ONNX Runtime 1.14 (2023); 18 is the first operator set with Pad's axes. */
const IR_VERSION = 8n
const OPSET_VERSION = 18n

/** A model without its graph. It does not name our version: a seed gives the same bytes in every release. */
export function modelMessage(): ModelProto {
  return create(ModelProtoSchema, {
    irVersion: IR_VERSION,
    producerName: 'scission',
    opsetImport: [{ domain: '', version: OPSET_VERSION }],
  })
}

export function graphMessage(graph: ZooGraph): GraphProto {
  return create(GraphProtoSchema, {
    name: graph.name,
    node: [...graph.nodes],
    initializer: graph.constants.map(constantMessage),
    input: [valueMessage(graph.input)],
    output: [valueMessage(graph.output)],
  })
}

/** A float32 tensor of fixed shape. */
export function valueMessage({ name, shape }: NamedShape): ValueInfoProto {
  const dim = shape.map((size) => ({ value: { case: 'dimValue' as const, value: BigInt(size) } }))
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'tensorType', value: { elemType: TensorProto_DataType.FLOAT, shape: { dim } } } },
  })
}

function constantMessage({ name, shape, dataType, values }: ConstantSpec): TensorProto {
  const integers = dataType === TensorProto_DataType.INT64
  const array = integers ? BigInt64Array.from(values, BigInt) : Float32Array.from(values)
  return create(TensorProtoSchema, {
    name,
    dims: shape.map(BigInt),
    dataType,
    rawData: new Uint8Array(array.buffer),
  })
}
