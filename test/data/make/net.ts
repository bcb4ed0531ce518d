/** The vocabulary in which the test models are written: operators by name, weights by shape. */
import { encodeHalf } from '../../../shared/codec/half-precision.ts'
import type { NodeProto, TensorProto, ValueInfoProto } from '../../../shared/onnx/proto/onnx_pb.ts'
import { UniformStream } from '../../../shared/zoo/random.ts'
import {
  type AttributeValue,
  DataType,
  encode,
  floats,
  graph,
  ints,
  model,
  node,
  tensorOf,
} from '../../onnx/support/build.ts'

type Attributes = Record<string, AttributeValue>

/** Uniform in [-bound, bound): the same numbers for the same key, on every machine. */
export function drawn(key: string, count: number, bound: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(count)
  new UniformStream(key).drawInto(values, -bound, bound)
  return values
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1)
}

/** Keeps the variance of an activation through a sum of `fan` products, before ReLU halves it. */
export const gain = (fan: number): number => Math.sqrt(6 / fan)

export interface NetOptions {
  /** Weights are half-precision. @defaultValue false */
  half?: boolean
  /** Names of tensors begin with this: a body must not use the names of the graph around it. */
  prefix?: string
}

/** Collects the nodes and weights of one graph. Methods return the name of the tensor that they add. */
export class Net {
  readonly nodes: NodeProto[] = []
  readonly constants: TensorProto[] = []
  readonly #key: string
  readonly #options: NetOptions
  #count = 0

  /** @param key seeds the weights. */
  constructor(key: string, options: NetOptions = {}) {
    this.#key = key
    this.#options = options
  }

  op(opType: string, inputs: readonly string[], attributes: Attributes = {}, output?: string): string {
    const name = output ?? this.#next(opType)
    this.nodes.push(node(opType, inputs, [name], attributes))
    return name
  }

  /** An operator with several outputs, or with names of its own. */
  ops(
    opType: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Attributes = {},
  ): void {
    this.nodes.push(node(opType, inputs, outputs, attributes))
  }

  /** Random, of mean 0. */
  weight(shape: readonly number[], bound: number, name = this.#next('w')): string {
    const values = drawn(`${this.#key}/${name}`, elements(shape), bound)
    return this.#add(this.#floats(name, shape, values))
  }

  /** Given values, repeated to fill the shape. */
  floats(shape: readonly number[], values: readonly number[]): string {
    const filled = Float32Array.from({ length: elements(shape) }, (_, i) => values[i % values.length] ?? 0)
    return this.#add(this.#floats(this.#next('c'), shape, filled))
  }

  ints(values: readonly number[], shape?: readonly number[]): string {
    return this.#add(ints(this.#next('n'), values, shape))
  }

  /** Signed bytes from -bound to bound. */
  bytes(shape: readonly number[], bound: number): string {
    const name = this.#next('b')
    const values = Int8Array.from(drawn(`${this.#key}/${name}`, elements(shape), bound), Math.round)
    return this.#add(tensorOf(name, shape, DataType.INT8, new Uint8Array(values.buffer)))
  }

  /** Zeros of a type with one byte an element. */
  zeros(shape: readonly number[], type: DataType.INT8 | DataType.UINT8): string {
    return this.#add(tensorOf(this.#next('z'), shape, type, new Uint8Array(elements(shape))))
  }

  /** A convolution with bias and "same" padding. @param kernel odd. */
  conv(x: string, channels: readonly [from: number, to: number], kernel = 3, more: ConvOptions = {}): string {
    const { stride = 1, group = 1 } = more
    const [from, to] = channels
    const pad = (kernel - 1) / 2
    const fan = (from / group) * kernel * kernel
    const weights = this.weight([to, from / group, kernel, kernel], gain(fan))
    return this.op('Conv', [x, weights, this.weight([to], 0.1)], {
      kernel_shape: [kernel, kernel],
      pads: [pad, pad, pad, pad],
      strides: [stride, stride],
      group,
    })
  }

  convRelu(x: string, channels: readonly [number, number], kernel = 3, more: ConvOptions = {}): string {
    return this.op('Relu', [this.conv(x, channels, kernel, more)])
  }

  /** x · W + b over the last axis. */
  linear(x: string, from: number, to: number, bound = Math.sqrt(3 / from)): string {
    return this.op('Add', [this.op('MatMul', [x, this.weight([from, to], bound)]), this.weight([to], 0.1)])
  }

  layerNorm(x: string, width: number): string {
    const scale = this.floats([width], [0.8, 1.25, 1, 0.9])
    return this.op('LayerNormalization', [x, scale, this.weight([width], 0.1)], { axis: -1, epsilon: 1e-5 })
  }

  /** The file: `outputs` must be names of tensors that were added, or of inputs. */
  encoded(inputs: readonly ValueInfoProto[], outputs: readonly ValueInfoProto[], opset = 17): Uint8Array {
    return encode(model(this.#words(inputs, outputs), opset))
  }

  /** A graph for an attribute: a branch or the body of a loop. */
  body(inputs: readonly ValueInfoProto[], outputs: readonly ValueInfoProto[]) {
    return graph(this.#words(inputs, outputs), this.#key)
  }

  #words(inputs: readonly ValueInfoProto[], outputs: readonly ValueInfoProto[]) {
    return { nodes: this.nodes, constants: this.constants, inputs, outputs }
  }

  #floats(name: string, shape: readonly number[], values: Float32Array<ArrayBuffer>): TensorProto {
    if (this.#options.half !== true) return floats(name, shape, [...values])
    return tensorOf(name, shape, DataType.FLOAT16, encodeHalf(new Uint8Array(values.buffer)))
  }

  #add(tensor: TensorProto): string {
    this.constants.push(tensor)
    return tensor.name
  }

  #next(base: string): string {
    this.#count += 1
    return `${this.#options.prefix ?? ''}${base}_${this.#count}`
  }
}

export interface ConvOptions {
  /** @defaultValue 1 */
  stride?: number
  /** @defaultValue 1 */
  group?: number
}
