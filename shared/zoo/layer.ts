/** One Keras layer while it is being written down: its ONNX nodes and the tensors they need. */
import { create } from '@bufbuild/protobuf'
import {
  type AttributeProto,
  type NodeProto,
  NodeProtoSchema,
  TensorProto_DataType,
} from '../onnx/proto/onnx_pb.ts'
import type { ConstantSpec, NamedShape, Shape, WeightSpec } from './graph.ts'
import { kernelBound, type Signal } from './signal.ts'

export class Layer {
  readonly name: string
  /** Positions of the layers this one reads, in the order it reads them. */
  readonly inputs: readonly number[]
  readonly nodes: NodeProto[] = []
  readonly weights: WeightSpec[] = []
  readonly constants: ConstantSpec[] = []
  /** Outputs of the nodes; for the input layer, the input. */
  readonly tensors: NamedShape[] = []

  constructor(name: string, inputs: readonly number[]) {
    this.name = name
    this.inputs = inputs
  }

  /** A parameter, `<layer>/<part>` as Keras names it. Returns the tensor's name. */
  weight(part: string, shape: Shape, low: number, high: number): string {
    const name = `${this.name}/${part}`
    this.weights.push({ name, shape, low, high })
    return name
  }

  /**
   * A kernel whose outputs have standard deviation `gain` for an input of the given signal.
   * @param fan products summed into one output. @returns the tensor's name.
   */
  kernel(part: string, shape: Shape, fan: number, input: Signal, gain = 1): string {
    const bound = gain * kernelBound(fan, input)
    return this.weight(part, shape, -bound, bound)
  }

  /** Returns the tensor's name. */
  floats(part: string, shape: Shape, values: readonly number[]): string {
    const name = `${this.name}/${part}`
    this.constants.push({ name, shape, dataType: TensorProto_DataType.FLOAT, values })
    return name
  }

  /** Returns the tensor's name. */
  integers(part: string, values: readonly number[]): string {
    const name = `${this.name}/${part}`
    this.constants.push({ name, shape: [values.length], dataType: TensorProto_DataType.INT64, values })
    return name
  }

  /** The model's input: a tensor without a node. Returns its shape. */
  source(shape: Shape): Shape {
    this.tensors.push({ name: this.name, shape })
    return shape
  }

  /** Adds a node before the layer's last one. Node and output are called `<layer>/<part>`; returns that name. */
  inner(part: string, opType: string, input: readonly string[], shape: Shape, attributes?: AttributeProto[]) {
    return this.#node(`${this.name}/${part}`, opType, input, shape, attributes)
  }

  /** Adds the layer's last node. Node and output are called as the layer; returns the output's shape. */
  last(opType: string, input: readonly string[], shape: Shape, attributes?: AttributeProto[]): Shape {
    this.#node(this.name, opType, input, shape, attributes)
    return shape
  }

  #node(
    name: string,
    opType: string,
    input: readonly string[],
    shape: Shape,
    attribute: AttributeProto[] = [],
  ) {
    this.nodes.push(create(NodeProtoSchema, { name, opType, input: [...input], output: [name], attribute }))
    this.tensors.push({ name, shape })
    return name
  }
}
