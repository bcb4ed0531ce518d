/** Pieces of quantised networks. */
import { DataType, tensorOf } from '../support/build.ts'
import type { Body, Offer, Piece } from './body.ts'

const bytesOf = (body: Body, count: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length: count }, () => body.draw.whole(256))

const one = (body: Body, type: DataType, size: number): string =>
  body.constant(tensorOf('', [], type, new Uint8Array(size)))

interface Quantum {
  scale: string
  zero: string
}

const TYPES = [DataType.UINT8, DataType.INT8]

function quantum(body: Body, type: DataType): Quantum {
  return {
    scale: body.scalar(0.05),
    zero: one(body, type, type === DataType.UINT16 || type === DataType.INT16 ? 2 : 1),
  }
}

const quantise = (body: Body, a: string, { scale, zero }: Quantum) =>
  body.one('QuantizeLinear', [a, scale, zero])
const dequantise = (body: Body, a: string, { scale, zero }: Quantum) =>
  body.one('DequantizeLinear', [a, scale, zero])

/** There and back, so that only values of a grid are left. */
const rounded: Piece = (body, a) => {
  const wide = body.world.opset >= 21 ? [DataType.UINT16, DataType.INT16] : []
  const grid = quantum(body, body.draw.pick([...TYPES, ...wide]))
  return dequantise(body, quantise(body, a, grid), grid)
}

/** Q-DQ around a product, as converters write it. */
const product: Piece = (body, a) => {
  const { draw } = body
  const type = draw.pick(TYPES)
  const before = quantum(body, type)
  const weights = quantum(body, type)
  const after = quantum(body, type)
  const x = dequantise(body, quantise(body, a, before), before)
  const table = body.constant(
    tensorOf(
      '',
      [8, 8],
      type,
      bytesOf(body, 64).map((byte) => byte >> 3),
    ),
  )
  const w = dequantise(body, table, weights)
  let out = body.one(draw.pick(['MatMul', 'Gemm']), [x, w])
  if (draw.chance(0.4)) out = body.one('Relu', [out])
  if (draw.chance(0.4)) {
    const again = dequantise(body, quantise(body, out, after), after)
    out = body.one('Add', [again, x])
  }
  return dequantise(body, quantise(body, out, after), after)
}

const dynamic: Piece = (body, a) => {
  const [q = a, scale = a, zero = a] = body.add('DynamicQuantizeLinear', [a], {}, { outputs: 3 })
  const table = body.constant(tensorOf('', [8, 8], DataType.UINT8, bytesOf(body, 64)))
  const whole = body.one('MatMulInteger', [q, table, zero, one(body, DataType.UINT8, 1)])
  const factor = body.one('Mul', [scale, body.scalar(0.01)])
  return body.one('Mul', [body.cast(whole, DataType.FLOAT), factor])
}

/** Weights of 4 bits in blocks, which the runtime has an operator of its own for. */
const blocks: Piece = (body, a) => {
  const { draw } = body
  const wide = body.one('MatMul', [a, body.weight([8, 32])])
  const packed = body.constant(tensorOf('', [8, 1, 16], DataType.UINT8, bytesOf(body, 128)))
  const scales = body.weight([8], 0.05)
  const attributes = { K: 32, N: 8, bits: 4, block_size: 32 }
  const out = body.one('MatMulNBits', [wide, packed, scales], attributes, { domain: 'com.microsoft' })
  return draw.chance(0.5) ? body.one(draw.pick(['Relu', 'Tanh', 'Sigmoid']), [out]) : out
}

/** The same as a DequantizeLinear before a product: the runtime makes the operator itself. */
const blocksInSteps: Piece = (body, a) => {
  const { draw } = body
  const wide = body.one('MatMul', [a, body.weight([8, 32])])
  const type = draw.pick([DataType.INT4, DataType.UINT4])
  const table = body.constant(tensorOf('', [32, 8], type, bytesOf(body, 128)))
  const scales = body.weight([2, 8], 0.05)
  const zeros = draw.chance(0.4) ? [body.constant(tensorOf('', [2, 8], type, bytesOf(body, 8)))] : []
  const w = body.one('DequantizeLinear', [table, scales, ...zeros], { axis: 0, block_size: 16 })
  const out = body.one('MatMul', [wide, w])
  return draw.chance(0.7) ? body.one(draw.pick(['Relu', 'Tanh', 'Sigmoid']), [out]) : out
}

/** Activations of 8 or 4 bits that no protocol carries. */
const oddGrid: Piece = (body, a) => {
  const { draw, world } = body
  const quarters = world.opset >= 21 ? [DataType.INT4, DataType.UINT4] : []
  const type = draw.pick([DataType.FLOAT8E4M3FN, DataType.FLOAT8E5M2, ...quarters])
  const grid = { scale: body.scalar(0.25), zero: one(body, type, 1) }
  const q = quantise(body, a, grid)
  const through = draw.chance(0.3) && world.opset >= 21 ? body.one('Identity', [q]) : q
  return dequantise(body, through, grid)
}

export const QUANTISED: Record<string, Offer> = {
  rounded: { piece: rounded, weight: 2 },
  product: { piece: product, weight: 2 },
  dynamic: { piece: dynamic },
  blocks: { piece: blocks },
  blocksInSteps: { piece: blocksInSteps, minOpset: 21, weight: 2 },
  oddGrid: { piece: oddGrid, minOpset: 19, weight: 2 },
}
