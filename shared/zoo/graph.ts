/**
 * A zoo network before it is a file: ONNX nodes, and each weight's *specification* (shape and range).
 *
 * Counting parameters, checking shapes and drawing the structure need nothing else, so they take milliseconds
 * and no disk; only `write.ts` turns specifications into bytes. Layout is ONNX's: batch 1, channels first.
 */
import { create } from '@bufbuild/protobuf'
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type NodeProto,
  type TensorProto_DataType,
} from '../onnx/proto/onnx_pb.ts'

/** ONNX dimensions: [1, channels, height, width], or [1, units] once flattened. */
export type Shape = readonly number[]

export interface NamedShape {
  readonly name: string
  readonly shape: Shape
}

/** A parameter in Keras' count: float32, drawn uniformly from [low, high). */
export interface WeightSpec extends NamedShape {
  readonly low: number
  readonly high: number
}

/** A tensor that ONNX needs but Keras does not count as a parameter: padding amounts, clip bounds, fixed scales. */
export interface ConstantSpec extends NamedShape {
  readonly dataType: TensorProto_DataType.FLOAT | TensorProto_DataType.INT64
  readonly values: readonly number[]
}

export interface ZooGraph {
  readonly name: string
  readonly input: NamedShape
  readonly output: NamedShape
  /** In Keras' layer order, which is a topological order. A node belongs to the Keras layer named before its "/". */
  readonly nodes: readonly NodeProto[]
  /** In order of first use, so that the weights of a layer range lie together in the file. */
  readonly weights: readonly WeightSpec[]
  readonly constants: readonly ConstantSpec[]
  /** Shape of the input and of every node's output. */
  readonly shapes: ReadonlyMap<string, Shape>
}

export function elements(shape: Shape): number {
  return shape.reduce((product, dim) => product * dim, 1)
}

export function ints(name: string, values: readonly number[]): AttributeProto {
  const type = AttributeProto_AttributeType.INTS
  return create(AttributeProtoSchema, { name, type, ints: values.map(BigInt) })
}

export function int(name: string, value: number): AttributeProto {
  return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.INT, i: BigInt(value) })
}

export function float(name: string, value: number): AttributeProto {
  return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.FLOAT, f: value })
}
