/** Pieces that ONNX Runtime makes one operator of, or whose further outputs it may leave out. */
import { type AttributeValue, DataType, floats, real } from '../support/build.ts'
import type { Body, Offer, Piece } from './body.ts'

const floatsOf = (values: number[]) => floats('', [values.length], values)

const layerNorm: Piece = (body, a) => {
  const { draw } = body
  const bias = draw.chance(0.7) ? [body.weight([8], 0.3)] : []
  const outputs = draw.pick([1, 1, 2, 3])
  const [y = a, mean] = body.add(
    'LayerNormalization',
    [a, body.weight([8], 1), ...bias],
    { axis: -1, epsilon: real(1e-5) },
    { outputs },
  )
  return mean !== undefined && draw.chance(0.5) ? body.one('Add', [y, mean]) : y
}

/** Means as older files have them: axes are an attribute before opset 18. */
const meanOf = (body: Body, a: string): string =>
  body.world.opset < 18
    ? body.one('ReduceMean', [a], { axes: [-1] })
    : body.one('ReduceMean', [a, body.whole(-1)])

const layerNormInSteps: Piece = (body, a) => {
  const centred = body.one('Sub', [a, meanOf(body, a)])
  const variance = meanOf(body, body.one('Pow', [centred, body.scalar(2)]))
  const root = body.one('Sqrt', [body.one('Add', [variance, body.scalar(1e-5)])])
  const scaled = body.one('Mul', [body.one('Div', [centred, root]), body.weight([8], 1)])
  return body.one('Add', [scaled, body.weight([8], 0.3)])
}

const gelu: Piece = (body, a) => {
  const biased = body.draw.chance(0.5) ? body.one('Add', [a, body.weight([8])]) : a
  const erf = body.one('Erf', [body.one('Div', [biased, body.scalar(Math.SQRT2)])])
  const half = body.one('Mul', [biased, body.one('Add', [erf, body.scalar(1)])])
  return body.one('Mul', [half, body.scalar(0.5)])
}

const softmax: Piece = (body, a) => body.one('Softmax', [a], { axis: body.draw.pick([-1, 1]) })

const attention: Piece = (body, a) => {
  const [q = a, k = a, v = a] = [0, 1, 2].map(() => body.one('MatMul', [a, body.weight([8, 8])]))
  const scores = body.one('MatMul', [q, body.one('Transpose', [k], { perm: [1, 0] })])
  const scaled = body.one(body.draw.pick(['Div', 'Mul']), [scores, body.scalar(0.7)])
  return body.one('MatMul', [body.one('Softmax', [scaled], { axis: -1 }), v])
}

/** Two pictures of one row each, of 4 channels after the first convolution. */
const convolution: Piece = (body, a) => {
  const { draw } = body
  const image = body.one('Reshape', [a, body.whole(1, 4, 2, 2)])
  const filter = draw.pick([1, 3])
  const pads: Record<string, AttributeValue> = filter === 3 ? { pads: [1, 1, 1, 1] } : {}
  const bias = draw.chance(0.5) ? [body.weight([4])] : []
  let out = body.one('Conv', [image, body.weight([4, 4, filter, filter], 0.3), ...bias], pads)
  if (draw.chance(0.5)) out = normalised(body, out, 4)
  if (draw.chance(0.4)) out = body.one('Add', [out, image])
  if (draw.chance(0.6)) out = body.one(draw.pick(['Relu', 'LeakyRelu', 'HardSigmoid', 'Sigmoid']), [out])
  if (draw.chance(0.3)) out = pooled(body, out)
  return body.one('Reshape', [out, body.whole(2, 8)])
}

function normalised(body: Body, a: string, channels: number): string {
  const positive = body.constant(floatsOf(body.draw.normals(channels).map((one) => Math.abs(one) + 0.5)))
  return body.one('BatchNormalization', [
    a,
    body.weight([channels], 1),
    body.weight([channels]),
    body.weight([channels]),
    positive,
  ])
}

/** Places of the greatest values are sometimes asked for, and sometimes read. */
function pooled(body: Body, a: string): string {
  const { draw } = body
  const [values = a, places] = body.add(
    'MaxPool',
    [a],
    { kernel_shape: [1, 1] },
    { outputs: draw.pick([1, 2]) },
  )
  if (places === undefined || draw.chance(0.5)) return values
  return body.one('Add', [values, body.cast(places, DataType.FLOAT)])
}

/** In training mode, it gives the running mean and variance as well: they are read, or graph outputs, or unused. */
const batchNorm: Piece = (body, a) => {
  const { draw } = body
  const variance = body.constant(floatsOf(draw.normals(8).map((one) => Math.abs(one) + 0.5)))
  const inputs = [a, body.weight([8], 1), body.weight([8]), body.weight([8]), variance]
  if (draw.chance(0.5)) return body.one('BatchNormalization', inputs)
  const [y = a, mean = a, spread = a] = body.add(
    'BatchNormalization',
    inputs,
    { training_mode: 1 },
    { outputs: 3 },
  )
  return draw.chance(0.4)
    ? body.one('Add', [body.one('Add', [y, mean]), draw.chance(0.5) ? spread : mean])
    : y
}

/** Outside training it passes everything; its mask is sometimes read. */
const dropout: Piece = (body, a) => {
  const { draw } = body
  const inputs = draw.pick([[a], [a, body.scalar(0.4)], [a, '', body.flag(false)]])
  const [y = a, mask] = body.add('Dropout', inputs, {}, { outputs: draw.pick([1, 2]) })
  return mask !== undefined && draw.chance(0.6) ? body.one('Mul', [y, body.cast(mask, DataType.FLOAT)]) : y
}

const microsoft = { domain: 'com.microsoft' }

const contributed: Piece = (body, a) => {
  const { draw } = body
  const norm = () => [body.weight([8], 1), body.weight([8], 0.3)]
  const makers = [
    () => body.one('Gelu', [a], {}, microsoft),
    () => body.one('BiasGelu', [a, body.weight([8])], {}, microsoft),
    () => body.one('QuickGelu', [a], { alpha: real(1.5) }, microsoft),
    () => body.one('FusedMatMul', [a, body.weight([8, 8])], { transB: 1, alpha: real(0.5) }, microsoft),
    () =>
      body.one('FusedGemm', [a, body.weight([8, 8]), body.weight([8])], { activation: 'Relu' }, microsoft),
    () => {
      const cubed = (name: string) => body.one('Unsqueeze', [name, body.whole(0)])
      const [y = a] = body.add(
        'SkipLayerNormalization',
        [cubed(a), cubed(body.other(a)), ...norm()],
        { epsilon: real(1e-5) },
        { ...microsoft, outputs: 1 },
      )
      return body.one('Squeeze', [y, body.whole(0)])
    },
  ]
  return draw.pick(makers)()
}

/** What optimisers look for: an addition before a LayerNormalization, a product before a Softmax, a residual. */
const residual: Piece = (body, a) => {
  const inside = body.draw.pick([gelu, softmax, attention, layerNorm])(body, a)
  return layerNorm(body, body.one('Add', [a, inside]))
}

const matmulBatchNorm: Piece = (body, a) => normalised(body, body.one('MatMul', [a, body.weight([8, 8])]), 8)

export const FUSED: Record<string, Offer> = {
  layerNorm: { piece: layerNorm, weight: 2 },
  layerNormInSteps: { piece: layerNormInSteps },
  gelu: { piece: gelu, weight: 2 },
  softmax: { piece: softmax },
  attention: { piece: attention },
  convolution: { piece: convolution, weight: 3 },
  batchNorm: { piece: batchNorm, weight: 2 },
  dropout: { piece: dropout, weight: 2 },
  contributed: { piece: contributed },
  residual: { piece: residual },
  matmulBatchNorm: { piece: matmulBatchNorm },
}
