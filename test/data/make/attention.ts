/** Transformers: an encoder with open dimensions, a decoder with a cache and external data, one for pictures. */
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { ModelProtoSchema } from '../../../shared/onnx/proto/onnx_pb.ts'
import { DataType, value } from '../../onnx/support/build.ts'
import { moveWeightsOut } from './external.ts'
import { gain, Net } from './net.ts'

const { INT64, FLOAT16 } = DataType

/** Softmax of scaled products, in heads. @returns [batch, heads, tokens, width of a head]. */
function attend(net: Net, query: string, key: string, values: string, mask?: string): string {
  const turned = net.op('Transpose', [key], { perm: [0, 1, 3, 2] })
  const scores = net.op('Mul', [net.op('MatMul', [query, turned]), net.floats([], [0.35])])
  const masked = mask === undefined ? scores : net.op('Add', [scores, mask])
  return net.op('MatMul', [net.op('Softmax', [masked], { axis: -1 }), values])
}

/** [batch, tokens, width] → [batch, heads, tokens, width / heads]. */
function inHeads(net: Net, x: string, heads: number, width: number): string {
  const apart = net.op('Reshape', [x, net.ints([0, 0, heads, width / heads])])
  return net.op('Transpose', [apart], { perm: [0, 2, 1, 3] })
}

function outOfHeads(net: Net, x: string, width: number): string {
  return net.op('Reshape', [net.op('Transpose', [x], { perm: [0, 2, 1, 3] }), net.ints([0, 0, width])])
}

/** Gelu as exporters wrote it before there was an operator. */
function geluByErf(net: Net, x: string): string {
  const erf = net.op('Erf', [net.op('Div', [x, net.floats([], [Math.SQRT2])])])
  const half = net.op('Mul', [x, net.floats([], [0.5])])
  return net.op('Mul', [half, net.op('Add', [erf, net.floats([], [1])])])
}

/** Three inputs of integers, two outputs; batch and sequence are open, and sizes are worked out in the graph. */
export function encoder(): Uint8Array {
  const net = new Net('encoder-dynamic')
  const [words, width, heads, longest] = [97, 24, 2, 32]
  const length = net.op('Gather', [net.op('Shape', ['input_ids']), net.ints([1], [])], { axis: 0 })
  const places = net.op('Slice', [
    net.weight([longest, width], 0.5),
    net.ints([0]),
    net.op('Unsqueeze', [length, net.ints([0])]),
    net.ints([0]),
  ])
  const token = net.op('Gather', [net.weight([words, width], 1), 'input_ids'])
  const kind = net.op('Gather', [net.weight([2, width], 0.5), 'token_type_ids'])
  let x = net.layerNorm(net.op('Add', [net.op('Add', [token, kind]), places]), width)
  const hidden = net.op('Sub', [
    net.floats([], [1]),
    net.op('Cast', ['input_mask'], { to: BigInt(DataType.FLOAT) }),
  ])
  const mask = net.op('Mul', [net.op('Unsqueeze', [hidden, net.ints([1, 2])]), net.floats([], [-10000])])
  for (let layer = 0; layer < 2; layer++) {
    const [query, key, values] = [0, 1, 2].map(() => inHeads(net, net.linear(x, width, width), heads, width))
    const seen = outOfHeads(net, attend(net, query!, key!, values!, mask), width)
    x = net.layerNorm(net.op('Add', [x, net.linear(seen, width, width)]), width)
    const wide = geluByErf(net, net.linear(x, width, 2 * width))
    x = net.layerNorm(net.op('Add', [x, net.linear(wide, 2 * width, width)]), width)
  }
  net.op('Identity', [x], {}, 'tokens')
  const first = net.op('Gather', [x, net.ints([0], [])], { axis: 1 })
  net.op(
    'Softmax',
    [net.linear(net.op('Tanh', [net.linear(first, width, width)]), width, 3)],
    { axis: -1 },
    'classes',
  )
  const open = ['batch', 'sequence']
  return net.encoded(
    ['input_ids', 'token_type_ids', 'input_mask'].map((name) => value(name, open, INT64)),
    [value('tokens', [...open, width]), value('classes', ['batch', 3])],
  )
}

/** The file of the decoder's weights. */
export const DECODER_DATA = 'model.onnx.data'

/**
 * A decoder with a cache of keys and values for each of two layers (empty at first), in half precision, its weights in
 * a file beside it.
 */
export function decoder(): { model: Uint8Array; data: Uint8Array } {
  const net = new Net('decoder-fp16', { half: true })
  const [words, width, heads] = [64, 32, 2]
  let x = net.op('Add', [
    net.op('Gather', [net.weight([words, width], 1), 'input_ids']),
    net.op('Gather', [net.weight([48, width], 0.5), 'position_ids']),
  ])
  const seen = net.op('Cast', ['attention_mask'], { to: BigInt(FLOAT16) })
  const absent = net.op('Sub', [net.floats([], [1]), seen])
  const mask = net.op('Mul', [net.op('Unsqueeze', [absent, net.ints([1, 2])]), net.floats([], [-1000])])
  const past = (layer: number, part: string) => `past_key_values.${layer}.${part}`
  const present = (layer: number, part: string) => `present.${layer}.${part}`
  for (const layer of [0, 1]) {
    const [query, key, values] = [0, 1, 2].map(() => inHeads(net, net.linear(x, width, width), heads, width))
    net.op('Concat', [past(layer, 'key'), key!], { axis: 2 }, present(layer, 'key'))
    net.op('Concat', [past(layer, 'value'), values!], { axis: 2 }, present(layer, 'value'))
    const found = attend(net, query!, present(layer, 'key'), present(layer, 'value'), mask)
    x = net.op('Add', [x, net.linear(outOfHeads(net, found, width), width, width)])
    const gated = net.op('Mul', [
      net.linear(x, width, width),
      net.op('Sigmoid', [net.linear(x, width, width)]),
    ])
    x = net.op('Add', [x, net.linear(gated, width, width)])
  }
  net.op('MatMul', [x, net.weight([width, words], 0.3)], {}, 'logits')
  const cache = (name: string, length: string) =>
    value(name, ['batch', heads, length, width / heads], FLOAT16)
  const all = [0, 1].flatMap((layer) => ['key', 'value'].map((part) => [layer, part] as const))
  const encoded = net.encoded(
    [
      value('input_ids', ['batch', 'length'], INT64),
      value('attention_mask', ['batch', 'total'], INT64),
      value('position_ids', ['batch', 'length'], INT64),
      ...all.map(([layer, part]) => cache(past(layer, part), 'past')),
    ],
    [
      value('logits', ['batch', 'length', words], FLOAT16),
      ...all.map(([layer, part]) => cache(present(layer, part), 'total')),
    ],
  )
  const made = fromBinary(ModelProtoSchema, encoded)
  const data = moveWeightsOut(made, DECODER_DATA)
  return { model: toBinary(ModelProtoSchema, made), data }
}

/** Patches of a picture as tokens, with the operators of opset 20. */
export function pictureTransformer(): Uint8Array {
  const net = new Net('picture-transformer')
  const [width, heads, tokens] = [32, 4, 25]
  const patches = net.op('Conv', ['picture', net.weight([width, 3, 4, 4], gain(48))], {
    kernel_shape: [4, 4],
    strides: [4, 4],
  })
  const rows = net.op('Reshape', [patches, net.ints([1, width, tokens])])
  let x = net.op('Add', [
    net.op('Transpose', [rows], { perm: [0, 2, 1] }),
    net.weight([1, tokens, width], 0.3),
  ])
  for (let layer = 0; layer < 2; layer++) {
    const before = net.layerNorm(x, width)
    const all = net.linear(before, width, 3 * width)
    const parts = ['query', 'key', 'value'].map((part) => `${part}${layer}`)
    net.ops('Split', [all], parts, { axis: -1, num_outputs: 3 })
    const [query, key, values] = parts.map((part) => inHeads(net, part, heads, width))
    const seen = outOfHeads(net, attend(net, query!, key!, values!), width)
    x = net.op('Add', [x, net.linear(seen, width, width)])
    const wide = net.op('Gelu', [net.linear(net.layerNorm(x, width), width, 2 * width)])
    x = net.op('Add', [x, net.linear(wide, 2 * width, width)])
  }
  const pooled = net.op('ReduceMean', [net.layerNorm(x, width), net.ints([1])], { keepdims: 0 })
  net.op('Softmax', [net.linear(pooled, width, 10, 1)], { axis: -1 }, 'classes')
  return net.encoded([value('picture', [1, 3, 20, 20])], [value('classes', [1, 10])], 20)
}
