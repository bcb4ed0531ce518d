/** Networks of convolutions: a chain, branches, two inputs, two outputs, half precision and eight bits. */
import { DataType, encode, floats, ints, model, node, value } from '../../onnx/support/build.ts'
import { drawn, gain, Net } from './net.ts'

/** The weights of `digits-cnn`, which digits.ts computes with as well. */
export interface DigitWeights {
  kernel1: Float32Array<ArrayBuffer>
  bias1: Float32Array<ArrayBuffer>
  kernel2: Float32Array<ArrayBuffer>
  bias2: Float32Array<ArrayBuffer>
  dense: Float32Array<ArrayBuffer>
  biasDense: Float32Array<ArrayBuffer>
}

export const DIGITS = {
  size: 28,
  kernel: 5,
  channels1: 8,
  channels2: 16,
  features: 256,
  classes: 10,
} as const

export function digitWeights(): DigitWeights {
  const { kernel, channels1, channels2, features, classes } = DIGITS
  const key = (name: string) => `digits-cnn/${name}`
  const square = kernel * kernel
  return {
    kernel1: drawn(key('kernel1'), channels1 * square, gain(square)),
    bias1: drawn(key('bias1'), channels1, 0.1),
    kernel2: drawn(key('kernel2'), channels2 * channels1 * square, gain(channels1 * square)),
    bias2: drawn(key('bias2'), channels2, 0.1),
    dense: drawn(key('dense'), features * classes, gain(features)),
    biasDense: drawn(key('biasDense'), classes, 0.1),
  }
}

/**
 * image [1,1,28,28] → scores [1,10], in the form of the first exporters: IR version 3, in which weights are inputs of the
 * graph as well, padding is named and biases are additions.
 */
export function digitsCnn(): Uint8Array {
  const { kernel, channels1, channels2, features, classes } = DIGITS
  const given = digitWeights()
  const constants = [
    floats('kernel1', [channels1, 1, kernel, kernel], [...given.kernel1]),
    floats('bias1', [channels1, 1, 1], [...given.bias1]),
    floats('kernel2', [channels2, channels1, kernel, kernel], [...given.kernel2]),
    floats('bias2', [channels2, 1, 1], [...given.bias2]),
    floats('dense', [features, classes], [...given.dense]),
    floats('biasDense', [1, classes], [...given.biasDense]),
    ints('flat', [1, features]),
  ]
  const same = { kernel_shape: [kernel, kernel], auto_pad: 'SAME_UPPER' }
  const words = {
    nodes: [
      node('Conv', ['image', 'kernel1'], ['conv1'], same),
      node('Add', ['conv1', 'bias1'], ['biased1']),
      node('Relu', ['biased1'], ['relu1']),
      node('MaxPool', ['relu1'], ['pool1'], { kernel_shape: [2, 2], strides: [2, 2] }),
      node('Conv', ['pool1', 'kernel2'], ['conv2'], same),
      node('Add', ['conv2', 'bias2'], ['biased2']),
      node('Relu', ['biased2'], ['relu2']),
      node('MaxPool', ['relu2'], ['pool2'], { kernel_shape: [3, 3], strides: [3, 3] }),
      node('Reshape', ['pool2', 'flat'], ['features']),
      node('MatMul', ['features', 'dense'], ['product']),
      node('Add', ['product', 'biasDense'], ['scores']),
    ],
    inputs: [
      value('image', [1, 1, DIGITS.size, DIGITS.size]),
      ...constants.map(({ name, dims, dataType }) => value(name, dims.map(Number), dataType)),
    ],
    outputs: [value('scores', [1, classes])],
    constants,
  }
  return encode(model(words, 8, 3))
}

/** A detector as for faces: one trunk, two heads of two branches each, joined into 1920 boxes with their scores. */
export function detector(): Uint8Array {
  const net = new Net('detector')
  let x = net.convRelu('picture', [3, 16], 3, { stride: 2 })
  x = net.convRelu(x, [16, 16])
  x = net.convRelu(x, [16, 24], 3, { stride: 2 })
  for (let i = 0; i < 4; i++) x = residual(net, x, 24)
  const near = x
  x = net.convRelu(x, [24, 32], 3, { stride: 2 })
  for (let i = 0; i < 2; i++) x = residual(net, x, 32)
  const heads = [
    { from: near, channels: 24, cells: 24 * 32 },
    { from: x, channels: 32, cells: 12 * 16 },
  ]
  const rows = (width: number) =>
    heads.map(({ from, channels, cells }) => {
      const made = net.conv(net.convRelu(from, [channels, 16], 1), [16, 2 * width])
      const last = net.op('Transpose', [made], { perm: [0, 2, 3, 1] })
      return net.op('Reshape', [last, net.ints([1, 2 * cells, width])])
    })
  const scores = net.op('Concat', rows(2), { axis: 1 })
  net.op('Softmax', [scores], { axis: 2 }, 'scores')
  net.op('Concat', rows(4), { axis: 1 }, 'boxes')
  const inputs = [value('picture', [1, 3, 96, 128])]
  return net.encoded(inputs, [value('scores', [1, 1920, 2]), value('boxes', [1, 1920, 4])])
}

/** A residual block of two convolutions, the first in two groups. */
function residual(net: Net, x: string, channels: number): string {
  const inner = net.convRelu(x, [channels, channels], 3, { group: 2 })
  return net.op('Relu', [net.op('Add', [x, net.conv(inner, [channels, channels])])])
}

/** A template and a search picture through the same weights, compared by attention: three outputs. */
export function siamese(): Uint8Array {
  const net = new Net('siamese')
  const kernels = [net.weight([12, 3, 3, 3], gain(27)), net.weight([24, 12, 3, 3], gain(108))]
  const tower = (input: string, cells: number) => {
    const x = kernels.reduce(
      (x, kernel) =>
        net.op('Relu', [
          net.op('Conv', [x, kernel], { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [2, 2] }),
        ]),
      input,
    )
    return net.op('Reshape', [x, net.ints([1, 24, cells])])
  }
  const [template, search] = [tower('template', 16), tower('search', 64)]
  const queries = net.op('Transpose', [search], { perm: [0, 2, 1] })
  const scaled = net.op('Mul', [net.op('MatMul', [queries, template]), net.floats([], [0.2])])
  const found = net.op('Softmax', [scaled], { axis: -1 })
  const values = net.op('Transpose', [template], { perm: [0, 2, 1] })
  const mixed = net.op('Concat', [queries, net.op('MatMul', [found, values])], { axis: 2 })
  const hidden = net.op('Relu', [net.linear(mixed, 48, 32)])
  net.op('Sigmoid', [net.linear(hidden, 32, 1)], {}, 'score')
  net.op('Tanh', [net.linear(hidden, 32, 2)], {}, 'offset')
  net.op('Exp', [net.linear(hidden, 32, 2, 0.1)], {}, 'size')
  return net.encoded(
    [value('template', [1, 3, 16, 16]), value('search', [1, 3, 32, 32])],
    [value('score', [1, 64, 1]), value('offset', [1, 64, 2]), value('size', [1, 64, 2])],
  )
}

/** Only the batch is open; weights are Constant nodes; the last layers shuffle channels into pixels. */
export function upscaler(): Uint8Array {
  const net = new Net('upscaler')
  const x = net.convRelu(net.convRelu('picture', [1, 16], 5), [16, 8])
  const apart = net.op('Reshape', [net.conv(x, [8, 4]), net.ints([-1, 1, 2, 2, 24, 24])])
  const woven = net.op('Transpose', [apart], { perm: [0, 1, 4, 2, 5, 3] })
  net.op('Reshape', [woven, net.ints([-1, 1, 48, 48])], {}, 'enlarged')
  const constants = net.constants.splice(0)
  net.nodes.unshift(...constants.map((tensor) => node('Constant', [], [tensor.name], { value: tensor })))
  return net.encoded([value('picture', ['batch', 1, 24, 24])], [value('enlarged', ['batch', 1, 48, 48])], 11)
}

/** Squeeze and expand, as in SqueezeNet, all in half precision. */
export function halfCnn(): Uint8Array {
  const net = new Net('fp16-cnn', { half: true })
  let x = net.convRelu('picture', [3, 16], 3, { stride: 2 })
  let channels = 16
  for (const width of [16, 24]) {
    const squeezed = net.convRelu(x, [channels, 8], 1)
    x = net.op('Concat', [net.convRelu(squeezed, [8, width], 1), net.convRelu(squeezed, [8, width])], {
      axis: 1,
    })
    x = net.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] })
    channels = 2 * width
  }
  const pooled = net.op('GlobalAveragePool', [net.conv(x, [channels, 10], 1)])
  net.op('Softmax', [net.op('Flatten', [pooled])], { axis: 1 }, 'probabilities')
  const half = DataType.FLOAT16
  return net.encoded([value('picture', [1, 3, 24, 24], half)], [value('probabilities', [1, 10], half)])
}

/** A residual network quantised to eight bits as tools write it: every tensor through Quantize- and DequantizeLinear. */
export function quantisedCnn(): Uint8Array {
  const net = new Net('int8-qdq-cnn')
  const zero = net.zeros([], DataType.UINT8)
  const signedZero = net.zeros([], DataType.INT8)
  const coded = (x: string, scale: number): string => {
    const step = net.floats([], [scale])
    return net.op('DequantizeLinear', [net.op('QuantizeLinear', [x, step, zero]), step, zero])
  }
  const conv = (x: string, [from, to]: readonly [number, number], stride = 1): string => {
    const codes = net.bytes([to, from, 3, 3], 127)
    const bound = gain(from * 9) / 127
    // One scale for each output channel.
    const steps = net.floats([to], [bound, bound * 0.75, bound * 0.5])
    const zeros = net.zeros([to], DataType.INT8)
    const kernel = net.op('DequantizeLinear', [codes, steps, zeros], { axis: 0 })
    const more = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [stride, stride] }
    return net.op('Conv', [x, kernel, net.weight([to], 0.1)], more)
  }
  let x = coded(net.op('Relu', [conv(coded('picture', 1 / 32), [3, 16], 2)]), 1 / 32)
  for (let block = 0; block < 3; block++) {
    const inner = coded(net.op('Relu', [conv(x, [16, 16])]), 1 / 32)
    const outer = coded(conv(inner, [16, 16]), 1 / 32)
    x = coded(net.op('Relu', [net.op('Add', [x, outer])]), 1 / 16)
  }
  const pooled = coded(net.op('GlobalAveragePool', [x]), 1 / 32)
  const dense = net.op('DequantizeLinear', [net.bytes([16, 10], 127), net.floats([], [0.005]), signedZero])
  net.op('Gemm', [net.op('Flatten', [pooled]), dense, net.weight([10], 0.1)], {}, 'scores')
  return net.encoded([value('picture', ['batch', 3, 32, 32])], [value('scores', ['batch', 10])], 13)
}
