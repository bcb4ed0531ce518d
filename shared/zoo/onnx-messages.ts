/** The ONNX messages of a zoo graph, all but its weights. */
import { create } from '@bufbuild/protobuf'
import type { GraphProto, ModelProto, TensorProto, ValueInfoProto } from '../onnx/proto/onnx_pb.ts'
import {
  GraphProtoSchema,
  ModelProtoSchema,
  TensorProto_DataType,
  TensorProtoSchema,
  ValueInfoProtoSchema,
} from '../onnx/proto/onnx_pb.ts'
import type { ConstantSpec, NamedShape, ZooGraph } from './graph.ts'

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
