/** Writes small ONNX files and the manifests that go with them. */
import fs from 'node:fs'
import { create, toBinary } from '@bufbuild/protobuf'
import type { Datatype, ModelId, ShapesKey, TensorSpec } from '../../shared/contracts/common.ts'
import type { RangeManifest } from '../../shared/contracts/range-manifest.ts'
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProto_DataType,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../../shared/onnx/proto/onnx_pb.ts'
import { elementCount, ELEMENT_BYTES, type Tensor } from '../../shared/contracts/tensor.ts'

const ONNX_TYPE: Record<Datatype, TensorProto_DataType> = {
  BOOL: TensorProto_DataType.BOOL,
  UINT8: TensorProto_DataType.UINT8,
  UINT16: TensorProto_DataType.UINT16,
  UINT32: TensorProto_DataType.UINT32,
  UINT64: TensorProto_DataType.UINT64,
  INT8: TensorProto_DataType.INT8,
  INT16: TensorProto_DataType.INT16,
  INT32: TensorProto_DataType.INT32,
  INT64: TensorProto_DataType.INT64,
  FP16: TensorProto_DataType.FLOAT16,
  BF16: TensorProto_DataType.BFLOAT16,
  FP32: TensorProto_DataType.FLOAT,
  FP64: TensorProto_DataType.DOUBLE,
  BYTES: TensorProto_DataType.STRING,
}

export interface TinyNode {
  op: string
  inputs: string[]
  outputs: string[]
  name?: string
  /** Integer attributes. */
  ints?: Record<string, number | number[]>
  /** The body of a Loop. */
  body?: TinyModel
}

export interface TinyModel {
  inputs: TensorSpec[]
  outputs: TensorSpec[]
  nodes: TinyNode[]
  weights?: { name: string; shape: number[]; values: Float32Array }[]
}

export function spec(name: string, datatype: Datatype, shape: number[]): TensorSpec {
  const bytes = datatype === 'BYTES' ? 0 : elementCount(shape.map(Math.abs)) * ELEMENT_BYTES[datatype]
  return { name, datatype, shape, bytes }
}

export function fp32(name: string, shape: number[], values: ArrayLike<number>): Tensor {
  return { name, datatype: 'FP32', shape, bytes: new Uint8Array(Float32Array.from(values).buffer) }
}

export function floats(tensor: Tensor | undefined): number[] {
  if (tensor === undefined) return []
  return [...new Float32Array(new Uint8Array(tensor.bytes).buffer)]
}

export const encodeModel = (model: TinyModel): Uint8Array =>
  toBinary(ModelProtoSchema, modelOf(graphOf(model)))

export function writeModel(file: string, model: TinyModel): void {
  fs.writeFileSync(file, encodeModel(model))
}

function modelOf(graph: GraphProto) {
  return create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: 17n })],
    graph,
  })
}

function graphOf({ inputs, outputs, nodes, weights = [] }: TinyModel): GraphProto {
  return create(GraphProtoSchema, {
    name: 'tiny',
    input: inputs.map(valueInfo),
    output: outputs.map(valueInfo),
    initializer: weights.map(initializer),
    node: nodes.map(({ op, inputs, outputs, name, ints = {}, body }) =>
      create(NodeProtoSchema, {
        opType: op,
        input: inputs,
        output: outputs,
        ...(name !== undefined && { name }),
        attribute: [
          ...Object.entries(ints).map(([key, value]) => attribute(key, value)),
          ...(body ? [bodyAttribute(body)] : []),
        ],
      }),
    ),
  })
}

function initializer({
  name,
  shape,
  values,
}: {
  name: string
  shape: number[]
  values: Float32Array
}): TensorProto {
  const rawData = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  return create(TensorProtoSchema, {
    name,
    dataType: TensorProto_DataType.FLOAT,
    dims: shape.map(BigInt),
    rawData,
  })
}

function valueInfo({ name, datatype, shape }: TensorSpec): ValueInfoProto {
  const dim = shape.map((size) => ({
    value:
      size === -1
        ? ({ case: 'dimParam', value: 'n' } as const)
        : ({ case: 'dimValue', value: BigInt(size) } as const),
  }))
  const tensorType = { elemType: ONNX_TYPE[datatype], shape: { dim } }
  return create(ValueInfoProtoSchema, { name, type: { value: { case: 'tensorType', value: tensorType } } })
}

function attribute(name: string, value: number | number[]): AttributeProto {
  return Array.isArray(value)
    ? create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.INTS, ints: value.map(BigInt) })
    : create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.INT, i: BigInt(value) })
}

const bodyAttribute = (body: TinyModel): AttributeProto =>
  create(AttributeProtoSchema, { name: 'body', type: AttributeProto_AttributeType.GRAPH, g: graphOf(body) })

export function manifestOf(
  { inputs, outputs }: Pick<TinyModel, 'inputs' | 'outputs'>,
  passThrough: string[] = [],
): RangeManifest {
  return {
    model: 'a'.repeat(64) as ModelId,
    shapesKey: 'abcdef012345' as ShapesKey,
    from: 0,
    to: 1,
    inputs,
    outputs,
    passThrough,
    onnx: null,
    weights: [],
  }
}
