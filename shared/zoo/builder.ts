/**
 * The vocabulary the networks are written in: one method per Keras layer, each emitting its ONNX nodes.
 *
 * A method takes and returns `Feature`s, works out the output shape and, for weights, the range of values
 * that keeps activations in bounds (`signal.ts`). The weights themselves are not made here.
 */
import type { AttributeProto } from '../onnx/proto/onnx_pb.ts'
import { elements, float, int, ints, type Shape, type ZooGraph } from './graph.ts'
import { kerasOrder } from './keras-order.ts'
import { Layer } from './layer.ts'
import type { Signal } from './signal.ts'
import * as signals from './signal.ts'
import { type Sides, slideOver, type Window, type WindowOptions } from './window.ts'

/** The output of a layer. */
export interface Feature {
  readonly tensor: string
  /** Position of the layer in order of creation. */
  readonly layer: number
  readonly shape: Shape
  readonly signal: Signal
}

export interface ConvOptions extends WindowOptions {
  filters: number
  /** @defaultValue false */
  bias?: boolean
  activation?: 'relu'
}

export interface BatchNormOptions {
  /** @defaultValue 1e-3, as in Keras */
  epsilon?: number
  /** True if gamma is a parameter; otherwise it is the constant 1. @defaultValue true */
  scale?: boolean
}

export interface DenseOptions {
  units: number
  activation: 'relu' | 'softmax'
}

/** Largest distance of biases and BatchNormalization's parameters from their neutral value (0 or 1). */
const SPREAD = 0.1
/**
 * Estimated standard deviation of the logits; ResNets reach about three times this value. Classes should differ clearly,
 * but a saturated softmax would hide differences in the layers before it.
 */
const LOGIT_DEVIATION = 0.5

export class GraphBuilder {
  readonly input: Feature
  readonly #name: string
  readonly #layers: Layer[] = []
  readonly #names = new Set<string>()
  readonly #counts = new Map<string, number>()

  /** @param size height and width of the RGB input. */
  constructor(name: string, size: number) {
    this.#name = name
    this.input = this.#add('input_1', [], signals.INPUT_SIGNAL, (layer) => layer.source([1, 3, size, size]))
  }

  /** The name Keras gives to an unnamed layer: `conv2d`, `conv2d_1`, `conv2d_2`, … */
  numbered(base: string): string {
    const count = this.#counts.get(base) ?? 0
    this.#counts.set(base, count + 1)
    return count === 0 ? base : `${base}_${count}`
  }

  conv(x: Feature, name: string, options: ConvOptions): Feature {
    const { filters, bias = false, activation } = options
    const window = slideOver(heightOf(x), widthOf(x), options)
    const shape = [1, filters, ...window.output]
    const signal = activation === 'relu' ? signals.afterRelu(signals.UNIT_SIGNAL) : signals.UNIT_SIGNAL
    return this.#add(name, [x], signal, (layer) => {
      const fan = channels(x) * window.meanTaps
      const kernel = layer.kernel('kernel', [filters, channels(x), ...window.kernel], fan, x.signal)
      const inputs = [x.tensor, kernel]
      if (bias) inputs.push(layer.weight('bias', [filters], -SPREAD, SPREAD))
      if (activation === undefined) return layer.last('Conv', inputs, shape, convAttributes(window))
      return layer.last('Relu', [layer.inner('conv', 'Conv', inputs, shape, convAttributes(window))], shape)
    })
  }

  /** One filter per channel, no bias. */
  depthwise(x: Feature, name: string, options: WindowOptions): Feature {
    const window = slideOver(heightOf(x), widthOf(x), options)
    return this.#add(name, [x], signals.UNIT_SIGNAL, (layer) => {
      const shape = [1, channels(x), ...window.output]
      return layer.last('Conv', depthwiseInputs(layer, x, window), shape, convAttributes(window, channels(x)))
    })
  }

  /** A depthwise convolution and a 1 x 1 convolution after it, as one layer, no bias. */
  separable(x: Feature, name: string, options: WindowOptions & { filters: number }): Feature {
    const { filters } = options
    const window = slideOver(heightOf(x), widthOf(x), options)
    const inner = [1, channels(x), ...window.output]
    return this.#add(name, [x], signals.UNIT_SIGNAL, (layer) => {
      const attributes = convAttributes(window, channels(x))
      const depthwise = layer.inner('depthwise', 'Conv', depthwiseInputs(layer, x, window), inner, attributes)
      const shape = [filters, channels(x), 1, 1]
      const kernel = layer.kernel('pointwise_kernel', shape, channels(x), signals.UNIT_SIGNAL)
      const square = [ints('kernel_shape', [1, 1])]
      return layer.last('Conv', [depthwise, kernel], [1, filters, ...window.output], square)
    })
  }

  batchNorm(x: Feature, name: string, { epsilon = 1e-3, scale = true }: BatchNormOptions = {}): Feature {
    const shape = [channels(x)]
    return this.#add(name, [x], x.signal, (layer) => {
      const near = (part: string, neutral: number) =>
        layer.weight(part, shape, neutral - SPREAD, neutral + SPREAD)
      const ones = Array.from({ length: channels(x) }, () => 1)
      const gamma = scale ? near('gamma', 1) : layer.floats('gamma', shape, ones)
      const inputs = [x.tensor, gamma, near('beta', 0), near('moving_mean', 0), near('moving_variance', 1)]
      return layer.last('BatchNormalization', inputs, x.shape, [float('epsilon', epsilon)])
    })
  }

  relu(x: Feature, name: string): Feature {
    return this.#add(name, [x], signals.afterRelu(x.signal), (layer) =>
      layer.last('Relu', [x.tensor], x.shape),
    )
  }

  relu6(x: Feature, name: string): Feature {
    return this.#add(name, [x], signals.afterRelu(x.signal), (layer) => {
      const bounds = [layer.floats('min', [], [0]), layer.floats('max', [], [6])]
      return layer.last('Clip', [x.tensor, ...bounds], x.shape)
    })
  }

  maxPool(x: Feature, name: string, options: WindowOptions): Feature {
    const signal = options.kernel === 1 ? x.signal : signals.afterMaxPool(x.signal)
    return this.#pool('MaxPool', x, name, options, signal)
  }

  /**
   * The average over the cells that exist: padding does not count, as in Keras. For the signal, neighbours
   * count as equal: deep feature maps are smooth.
   */
  averagePool(x: Feature, name: string, options: WindowOptions): Feature {
    return this.#pool('AveragePool', x, name, options, x.signal)
  }

  /**
   * Surrounds the feature map with zeros.
   *
   * ONNX Runtime merges Pad into a MaxPool that follows, though a MaxPool's own padding is minus infinity:
   * if the input may be negative, results change with the optimisation level (microsoft/onnxruntime#24737). It does not
   * merge a Pad with named axes, so that form is used for `beforeMaxPool`.
   */
  pad(
    x: Feature,
    name: string,
    { top, left, bottom, right }: Sides,
    { beforeMaxPool = false } = {},
  ): Feature {
    const shape = [1, channels(x), heightOf(x) + top + bottom, widthOf(x) + left + right]
    const signal = signals.mixture([
      { signal: x.signal, size: elements(x.shape) },
      { signal: { mean: 0, variance: 0 }, size: elements(shape) - elements(x.shape) },
    ])
    return this.#add(name, [x], signal, (layer) => {
      const inputs = beforeMaxPool
        ? [layer.integers('pads', [top, left, bottom, right]), '', layer.integers('axes', [2, 3])]
        : [layer.integers('pads', [0, 0, top, left, 0, 0, bottom, right])]
      return layer.last('Pad', [x.tensor, ...inputs], shape)
    })
  }

  crop(x: Feature, name: string, { top, left, bottom, right }: Sides): Feature {
    const shape = [1, channels(x), heightOf(x) - top - bottom, widthOf(x) - left - right]
    return this.#add(name, [x], x.signal, (layer) => {
      const starts = layer.integers('starts', [top, left])
      const ends = layer.integers('ends', [heightOf(x) - bottom, widthOf(x) - right])
      return layer.last('Slice', [x.tensor, starts, ends, layer.integers('axes', [2, 3])], shape)
    })
  }

  /** The sum of two features of one shape. */
  add(first: Feature, second: Feature, name: string): Feature {
    const signal = signals.afterAdd(first.signal, second.signal)
    return this.#add(name, [first, second], signal, (layer) =>
      layer.last('Add', [first.tensor, second.tensor], first.shape),
    )
  }

  /** shortcut + scale · branch */
  addScaled(shortcut: Feature, branch: Feature, name: string, scale: number): Feature {
    const signal = signals.afterAdd(shortcut.signal, signals.afterScale(branch.signal, scale))
    return this.#add(name, [shortcut, branch], signal, (layer) => {
      const factors = [branch.tensor, layer.floats('scale', [], [scale])]
      const scaled = layer.inner('scaled', 'Mul', factors, branch.shape)
      return layer.last('Add', [shortcut.tensor, scaled], shortcut.shape)
    })
  }

  /** The features' channels one after the other. */
  concat(parts: readonly [Feature, ...Feature[]], name: string): Feature {
    const signal = signals.mixture(parts.map((part) => ({ signal: part.signal, size: channels(part) })))
    const total = parts.reduce((sum, part) => sum + channels(part), 0)
    const tensors = parts.map((part) => part.tensor)
    return this.#add(name, parts, signal, (layer) =>
      layer.last('Concat', tensors, [1, total, heightOf(parts[0]), widthOf(parts[0])], [int('axis', 1)]),
    )
  }

  /** [1, channels, height, width] → [1, channels] */
  globalAveragePool(x: Feature, name: string): Feature {
    return this.#add(name, [x], x.signal, (layer) => {
      const mean = layer.inner('mean', 'GlobalAveragePool', [x.tensor], [1, channels(x), 1, 1])
      return layer.last('Flatten', [mean], [1, channels(x)])
    })
  }

  flatten(x: Feature, name: string): Feature {
    return this.#add(name, [x], x.signal, (layer) =>
      layer.last('Flatten', [x.tensor], [1, elements(x.shape)]),
    )
  }

  reshape(x: Feature, name: string, shape: Shape): Feature {
    return this.#add(name, [x], x.signal, (layer) =>
      layer.last('Reshape', [x.tensor, layer.integers('shape', shape)], shape),
    )
  }

  /** A fully connected layer on [1, units]. */
  dense(x: Feature, name: string, { units, activation }: DenseOptions): Feature {
    const classifies = activation === 'softmax'
    const signal = classifies ? signals.UNIT_SIGNAL : signals.afterRelu(signals.UNIT_SIGNAL)
    return this.#add(name, [x], signal, (layer) => {
      const gain = classifies ? LOGIT_DEVIATION : 1
      const kernel = layer.kernel('kernel', [units, channels(x)], channels(x), x.signal, gain)
      const inputs = [x.tensor, kernel, layer.weight('bias', [units], -SPREAD, SPREAD)]
      const sum = layer.inner('dense', 'Gemm', inputs, [1, units], [int('transB', 1)])
      return layer.last(classifies ? 'Softmax' : 'Relu', [sum], [1, units])
    })
  }

  softmax(x: Feature, name: string): Feature {
    return this.#add(name, [x], x.signal, (layer) => layer.last('Softmax', [x.tensor], x.shape))
  }

  /** Ends a network: the mean of each channel, then 1000 classes. @param pool name of the pooling layer. */
  classify(x: Feature, pool: string): ZooGraph {
    const options = { units: 1000, activation: 'softmax' } as const
    return this.build(this.dense(this.globalAveragePool(x, pool), 'predictions', options))
  }

  /** Puts the layers in Keras' order. */
  build(output: Feature): ZooGraph {
    const inputs = this.#layers.map((layer) => layer.inputs)
    const layers = kerasOrder(inputs, output.layer).flatMap((index) => this.#layers[index] ?? [])
    const tensors = layers.flatMap((layer) => layer.tensors)
    return {
      name: this.#name,
      input: { name: this.input.tensor, shape: this.input.shape },
      output: { name: output.tensor, shape: output.shape },
      nodes: layers.flatMap((layer) => layer.nodes),
      weights: layers.flatMap((layer) => layer.weights),
      constants: layers.flatMap((layer) => layer.constants),
      shapes: new Map(tensors.map(({ name, shape }) => [name, shape])),
    }
  }

  #pool(op: string, x: Feature, name: string, options: WindowOptions, signal: Signal) {
    const window = slideOver(heightOf(x), widthOf(x), options)
    return this.#add(name, [x], signal, (layer) =>
      layer.last(op, [x.tensor], [1, channels(x), ...window.output], windowAttributes(window)),
    )
  }

  #add(name: string, inputs: readonly Feature[], signal: Signal, write: (layer: Layer) => Shape): Feature {
    if (this.#names.has(name)) throw new Error(`two layers of ${this.#name} are called ${name}`)
    this.#names.add(name)
    const layer = new Layer(
      name,
      inputs.map((input) => input.layer),
    )
    const shape = write(layer)
    return { tensor: name, layer: this.#layers.push(layer) - 1, shape, signal }
  }
}

/** The inputs of a convolution with one filter per channel. */
function depthwiseInputs(layer: Layer, x: Feature, { kernel, meanTaps }: Window): string[] {
  return [x.tensor, layer.kernel('depthwise_kernel', [channels(x), 1, ...kernel], meanTaps, x.signal)]
}

function windowAttributes({ kernel, stride, pads }: Window): AttributeProto[] {
  return [ints('kernel_shape', kernel), ints('strides', [stride, stride]), ints('pads', pads)]
}

function convAttributes(window: Window, groups = 1): AttributeProto[] {
  return [...windowAttributes(window), int('group', groups)]
}

export function channels(x: Feature): number {
  return x.shape[1] ?? 1
}

export function heightOf(x: Feature): number {
  return x.shape[2] ?? 1
}

function widthOf(x: Feature): number {
  return x.shape[3] ?? 1
}
