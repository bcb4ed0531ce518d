/** Pieces that go through other types of numbers and through texts, and come back. */
import { DataType } from '../support/build.ts'
import { type Body, HUB, type Offer, type Piece } from './body.ts'

/** Operators that take a tensor of nearly any type and change none of its elements for good. */
function moved(body: Body, a: string, kernels = 4): string {
  const { draw } = body
  const ways = [
    () => body.one('Identity', [a]),
    () => body.one('Reshape', [body.one('Reshape', [a, body.whole(16)]), body.whole(...HUB)]),
    () => body.one('Transpose', [body.one('Transpose', [a], { perm: [1, 0] })], { perm: [1, 0] }),
    () => body.one('Squeeze', [body.one('Unsqueeze', [a, body.whole(0)]), body.whole(0)]),
  ]
  return draw.pick(ways.slice(0, kernels))()
}

/** Numbers of moderate size, so that no type overflows. */
const bounded = (body: Body, a: string): string => body.one('Mul', [body.one('Tanh', [a]), body.scalar(9)])

const SIGNED = [DataType.INT8, DataType.INT16, DataType.INT32, DataType.INT64]
const UNSIGNED = [DataType.UINT8, DataType.UINT16, DataType.UINT32, DataType.UINT64]

const integers: Piece = (body, a) => {
  const { draw } = body
  const isSigned = draw.chance(0.5)
  const small = bounded(body, a)
  const type = draw.pick(isSigned ? SIGNED : UNSIGNED)
  let whole = body.cast(isSigned ? small : body.one('Abs', [small]), type)
  if (draw.chance(0.7)) whole = moved(body, whole)
  if (type === DataType.INT32 || type === DataType.INT64)
    whole = body.one(draw.pick(['Add', 'Mul', 'Sub']), [whole, whole])
  return body.cast(whole, DataType.FLOAT)
}

const double: Piece = (body, a) => {
  const wide = body.cast(a, DataType.DOUBLE)
  const product = body.draw.chance(0.5)
    ? body.one('MatMul', [wide, body.cast(body.weight([8, 8]), DataType.DOUBLE)])
    : body.one('Add', [wide, wide])
  return body.cast(body.one('Tanh', [product]), DataType.FLOAT)
}

const half: Piece = (body, a) => {
  const { draw } = body
  let short = body.cast(bounded(body, a), DataType.FLOAT16)
  if (draw.chance(0.5)) short = body.one('MatMul', [short, body.cast(body.weight([8, 8]), DataType.FLOAT16)])
  if (draw.chance(0.5)) short = body.one('Relu', [short])
  if (draw.chance(0.5)) short = moved(body, short)
  return body.cast(short, DataType.FLOAT)
}

/** Types that no protocol carries: a cut may not fall between. */
const cannotTravel: Piece = (body, a) => {
  const { draw, world } = body
  const eighths = [
    DataType.FLOAT8E4M3FN,
    DataType.FLOAT8E5M2,
    DataType.FLOAT8E4M3FNUZ,
    DataType.FLOAT8E5M2FNUZ,
  ]
  const type = draw.pick([DataType.BFLOAT16, ...(world.opset >= 19 ? eighths : [])])
  let odd = body.cast(bounded(body, a), type)
  const kernels = world.opset >= 19 || type === DataType.BFLOAT16 ? 2 : 1
  const count = draw.whole(3)
  for (let i = 0; i < count; i++) odd = moved(body, odd, kernels)
  return body.cast(odd, DataType.FLOAT)
}

/** Whole numbers of 4 bits, which two share a byte. */
const quarters: Piece = (body, a) => {
  const { draw } = body
  const type = draw.pick([DataType.INT4, DataType.UINT4])
  const small = body.one('Mul', [body.one('Tanh', [a]), body.scalar(6)])
  const odd = body.cast(type === DataType.INT4 ? small : body.one('Abs', [small]), type)
  return body.cast(draw.chance(0.5) ? moved(body, odd, 2) : odd, DataType.FLOAT)
}

const flags: Piece = (body, a) => {
  const { draw } = body
  const first = body.one('Greater', [a, body.scalar(0)])
  const second = body.one('Less', [body.other(a), body.scalar(0.5)])
  const both = body.one(draw.pick(['And', 'Or', 'Xor']), [first, second])
  return body.one('Add', [a, body.cast(draw.chance(0.5) ? moved(body, both) : both, DataType.FLOAT)])
}

const strings: Piece = (body, a) => {
  const { draw } = body
  const number = draw.chance(0.5) ? a : body.cast(bounded(body, a), DataType.INT64)
  const text = body.cast(number, DataType.STRING)
  return body.cast(draw.chance(0.6) ? moved(body, text) : text, DataType.FLOAT)
}

export const TYPED: Record<string, Offer> = {
  integers: { piece: integers, weight: 3 },
  double: { piece: double },
  half: { piece: half, weight: 2 },
  cannotTravel: { piece: cannotTravel, weight: 2 },
  quarters: { piece: quarters, minOpset: 21 },
  flags: { piece: flags },
  strings: { piece: strings },
}
