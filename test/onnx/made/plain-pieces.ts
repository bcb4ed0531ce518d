/** Pieces of ordinary networks: element-wise, products, shapes; with outputs and inputs that are left out. */
import { type AttributeValue, DataType, real } from '../support/build.ts'
import { HUB, type Offer, type Piece } from './body.ts'

const UNARY = [
  'Relu',
  'Sigmoid',
  'Tanh',
  'Neg',
  'Abs',
  'Identity',
  'Softplus',
  'Erf',
  'Elu',
  'LeakyRelu',
  'Sin',
]
const BINARY = ['Add', 'Mul', 'Sub', 'Max', 'Min', 'Add']

const unary: Piece = (body, a) => body.one(body.draw.pick(UNARY), [a])

const binary: Piece = (body, a) => body.one(body.draw.pick(BINARY), [a, body.other(a)])

/** A product whose weights are below, or above, what a file keeps beside the graph. */
const dense: Piece = (body, a) => {
  const { draw } = body
  const wide = draw.pick([8, 8, 40, 64])
  let out = body.one('MatMul', [a, body.weight([8, wide])])
  if (draw.chance(0.6))
    out = body.one('Add', draw.chance(0.5) ? [out, body.weight([wide])] : [body.weight([wide]), out])
  if (draw.chance(0.6)) out = body.one(draw.pick(['Relu', 'Tanh', 'Sigmoid', 'LeakyRelu']), [out])
  return wide === 8 ? out : body.one('MatMul', [out, body.weight([wide, 8])])
}

const gemm: Piece = (body, a) => {
  const { draw } = body
  const withBias = draw.chance(0.7) ? [body.weight([8])] : []
  const turned = draw.chance(0.5)
  const scale: Record<string, AttributeValue> = draw.chance(0.3) ? { alpha: real(0.5) } : {}
  const out = body.one('Gemm', [a, body.weight([8, 8]), ...withBias], {
    ...scale,
    ...(turned ? { transB: 1 } : {}),
  })
  return draw.chance(0.5) ? body.one('Relu', [out]) : out
}

/** The smallest value is left out. */
const clip: Piece = (body, a) => body.one('Clip', [a, '', body.scalar(1.5)])

const scalar: Piece = (body, a) => {
  const sum = body.one('ReduceSum', [a], { keepdims: 0 })
  return body.one('Add', [a, body.one('Tanh', [sum])])
}

const split: Piece = (body, a) => {
  const [left = a, right = a] = body.add('Split', [a, body.whole(1, 1)], { axis: 0 }, { outputs: 2 })
  // Sometimes one of them is read by nothing.
  const halves = body.draw.chance(0.3) ? [right, right] : [right, left]
  return body.one('Concat', halves, { axis: 0 })
}

const topK: Piece = (body, a) => {
  const [values = a, places = a] = body.add('TopK', [a, body.whole(8)], {}, { outputs: 2 })
  return body.draw.chance(0.5) ? values : body.one('Add', [values, body.cast(places, DataType.FLOAT)])
}

const transposed: Piece = (body, a) => {
  const turned = body.one('Transpose', [a], { perm: [1, 0] })
  const changed = body.one(body.draw.pick(['Relu', 'Tanh', 'Identity']), [turned])
  const product = body.draw.chance(0.5) ? body.one('MatMul', [body.weight([8, 8]), changed]) : changed
  return body.one('Transpose', [product], { perm: [1, 0] })
}

const shapes: Piece = (body, a) => {
  const size = body.one('Shape', [a])
  const ones = body.one('ConstantOfShape', [body.draw.chance(0.5) ? size : body.one('Identity', [size])])
  return body.one('Add', [body.other(a), ones])
}

const reshaped: Piece = (body, a) => {
  const flat = body.one('Reshape', [a, body.whole(body.draw.chance(0.5) ? -1 : 16)])
  const turned = body.one(body.draw.pick(['Relu', 'Tanh', 'Neg']), [flat])
  return body.one('Reshape', [turned, body.one('Shape', [a])])
}

/** Where values are above a limit: how many these are depends on the input. */
const found: Piece = (body, a) => {
  const above = body.one('Greater', [a, body.scalar(0.3)])
  const places = body.one('NonZero', [above])
  const count = body.one('Gather', [body.one('Shape', [places]), body.index(1)])
  return body.one('Add', [a, body.cast(count, DataType.FLOAT)])
}

/** A tensor of no element joins in. */
const nothing: Piece = (body, a) => {
  const none = body.one('Slice', [a, body.whole(0), body.whole(0), body.whole(0)])
  const through = body.one(body.draw.pick(['Relu', 'Identity', 'Neg']), [none])
  const more = body.draw.chance(0.4) ? [body.weight([0, 8])] : []
  return body.one('Concat', [a, through, ...more], { axis: 0 })
}

const padded: Piece = (body, a) => {
  const value = body.draw.chance(0.5) ? [''] : []
  const wide = body.one('Pad', [a, body.whole(0, 1, 0, 1), ...value])
  return body.one('Slice', [wide, body.whole(0, 1), body.whole(2, 9)])
}

const gathered: Piece = (body, a) => {
  const rows = body.one('Gather', [body.weight([24, 8]), body.whole(3, 17)])
  return body.one('Add', [a, rows])
}

const compared: Piece = (body, a) => {
  const flag = body.one(body.draw.pick(['Greater', 'Less', 'GreaterOrEqual']), [a, body.other(a)])
  const not = body.draw.chance(0.5) ? body.one('Not', [flag]) : flag
  return body.one('Where', [not, a, body.one('Neg', [a])])
}

/** Its state at the beginning and two of its outputs are left out. */
const recurrent: Piece = (body, a) => {
  const x = body.one('Unsqueeze', [a, body.whole(1)])
  const weights = [body.weight([1, 32, 8], 0.3), body.weight([1, 32, 8], 0.3)]
  const [y = a] = body.add(
    'LSTM',
    [x, ...weights, '', '', '', ''].slice(0, body.draw.chance(0.5) ? 3 : 6),
    { hidden_size: 8 },
    { outputs: body.draw.pick([1, 2, 3]) },
  )
  return body.one('Reshape', [y, body.whole(...HUB)])
}

const einsum: Piece = (body, a) => body.one('Einsum', [a, body.weight([8, 8])], { equation: 'ij,jk->ik' })

const cumulative: Piece = (body, a) =>
  body.one('Mul', [body.one('CumSum', [a, body.index(1)]), body.scalar(0.3)])

/** A constant that is computed from constants, some larger than what is folded. */
const computedConstant: Piece = (body, a) => {
  const product = body.one('MatMul', [body.weight([300, 8]), body.weight([8, 8])])
  return body.one('Add', [a, body.one('ReduceMax', [product], { keepdims: 0 })])
}

export const PLAIN: Record<string, Offer> = {
  unary: { piece: unary, weight: 3 },
  binary: { piece: binary, weight: 3 },
  dense: { piece: dense, weight: 3 },
  gemm: { piece: gemm, weight: 2 },
  clip: { piece: clip },
  scalar: { piece: scalar },
  split: { piece: split },
  topK: { piece: topK },
  transposed: { piece: transposed },
  shapes: { piece: shapes },
  reshaped: { piece: reshaped },
  found: { piece: found },
  nothing: { piece: nothing },
  padded: { piece: padded },
  gathered: { piece: gathered },
  compared: { piece: compared },
  recurrent: { piece: recurrent },
  einsum: { piece: einsum },
  cumulative: { piece: cumulative },
  computedConstant: { piece: computedConstant },
}
