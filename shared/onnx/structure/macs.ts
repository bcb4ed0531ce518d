/**
 * Multiply-accumulates of a node, from its shapes.
 *
 * Convolution: every output element takes (input channels of its group × kernel size). Matrix product: every output
 * element takes the inner dimension. Recurrent layers: the weights of all gates, per step and sequence. Operators that
 * only move, compare or scale numbers count 0, as is usual; null if there is no agreed count.
 */
import { inDefaultDomain, runtimeOperator } from '../canonical/scope.ts'
import type { NodeProto } from '../proto/onnx_pb.ts'
import type { Types } from '../canonical/infer-shapes.ts'
import { entryOf } from '../../platform/entry-of.ts'

type Shape = readonly number[] | undefined

/** Index of the weight operand of each convolution. */
const CONVOLUTIONS: Readonly<Record<string, number>> = {
  Conv: 1,
  ConvInteger: 1,
  FusedConv: 1,
  QLinearConv: 3,
}
const PRODUCTS = new Set([
  'MatMul',
  'MatMulInteger',
  'QLinearMatMul',
  'Gemm',
  'FusedMatMul',
  'FusedGemm',
  'MatMulNBits',
  'MatMulIntegerToFloat',
  'DynamicQuantizeMatMul',
  'QGemm',
])
const RECURRENT = new Set(['LSTM', 'GRU', 'RNN', 'DynamicQuantizeLSTM'])
/** Operators of the default domain whose work does not follow from their shapes. */
const UNCOUNTED = new Set([
  'If',
  'Loop',
  'Scan',
  'Einsum',
  'Attention',
  'DeformConv',
  'SequenceMap',
  'DFT',
  'STFT',
])

/** Operators of com.microsoft that only scale, normalise or move numbers. */
const ELEMENTWISE = new Set([
  'BiasGelu',
  'FastGelu',
  'Gelu',
  'QuickGelu',
  'RotaryEmbedding',
  'SimplifiedLayerNormalization',
  'SkipLayerNormalization',
  'SkipSimplifiedLayerNormalization',
  'QLinearAdd',
  'QLinearAveragePool',
  'QLinearConcat',
  'QLinearGlobalAveragePool',
  'QLinearLeakyRelu',
  'QLinearMul',
  'QLinearSigmoid',
  'QLinearSoftmax',
  'QuantizeLinear',
  'DequantizeLinear',
])

/** @returns null also if a shape depends on the data. */
export function macsOf(node: NodeProto, types: Types): number | null {
  const shapeOf = (index: number): Shape => types.get(node.input[index] ?? '')?.shape
  const output = types.get(node.output[0] ?? '')?.shape
  const operator = runtimeOperator(node)
  if (operator === undefined) return null
  const weight = entryOf(CONVOLUTIONS, operator)
  if (weight !== undefined) return product([size(output), size(shapeOf(weight)?.slice(1))])
  // Each input element meets the kernel once for every output channel of its group.
  if (operator === 'ConvTranspose') return product([size(shapeOf(0)), size(shapeOf(1)?.slice(1))])
  if (PRODUCTS.has(operator)) return product([size(output), inner(node, shapeOf(0))])
  if (RECURRENT.has(operator)) return recurrent(shapeOf(0), shapeOf(1), shapeOf(2))
  return ELEMENTWISE.has(operator) || (inDefaultDomain(node) && !UNCOUNTED.has(operator)) ? 0 : null
}

/** The dimension that a product sums over: A's last, or the last but one if A is transposed. */
function inner(node: NodeProto, a: Shape): number | null {
  if (!a) return null
  const transposed = node.attribute.some(({ name, i }) => name === 'transA' && i === 1n)
  return known(transposed ? a.at(-2) : a.at(-1))
}

/** X [steps, batch, input] (or batch first), W [directions, gates · hidden, input], R [directions, gates · hidden, hidden]. */
function recurrent(x: Shape, w: Shape, r: Shape): number | null {
  const weights = [size(w), size(r)]
  if (weights.includes(null)) return null
  return product([known(x?.[0]), known(x?.[1]), (weights[0] ?? 0) + (weights[1] ?? 0)])
}

function known(dim: number | undefined): number | null {
  return dim === undefined || dim < 0 ? null : dim
}

function size(shape: Shape): number | null {
  return shape ? product(shape.map(known)) : null
}

function product(factors: readonly (number | null)[]): number | null {
  return factors.reduce((sum, factor) => (sum === null || factor === null ? null : sum * factor), 1)
}
