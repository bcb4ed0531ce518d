/**
 * What operators demand of the values of their arguments: shapes, axes, counts, indices, lengths. Each rule says what an
 * argument may be, the most likely first; each is valid for the operator itself, and later operators may need another.
 *
 * @see https://onnx.ai/onnx/operators/ and https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
 */
import type { NodeProto } from '../proto/onnx_pb.ts'
import { integerAttribute, listAttribute, type NodeValues } from './node-values.ts'
import { INTEGERS } from './traces.ts'
import { entryOf } from '../../platform/entry-of.ts'

/** What an argument may be. */
export interface Demand {
  /** Its elements in order: a shape, one number per axis. */
  row?: readonly number[]
  /** Every element is one of these. */
  each?: readonly (number | string)[]
  min?: number
  max?: number
}

interface Use {
  node: NodeProto
  values: NodeValues
  /** Number of elements of the argument along its last axis. */
  length: number
}
/** @returns what the argument may be, the most likely first; empty if nothing is known. */
type Rule = (use: Use) => Demand[]

/** What an argument may be. @returns an empty list if the operator takes any values there. */
export function demandsOf(operator: string, position: number, use: Use): Demand[] {
  return entryOf(RULES, operator)?.[position]?.(use) ?? []
}

const always =
  (...each: number[]): Rule =>
  () =>
    each.map((value) => ({ each: [value] }))
const ones: Rule = ({ length }) => [{ row: Array.from({ length }, () => 1) }]

/** An index below the size of the first input along the axis that the node names. */
const index: Rule = ({ node, values }) => upTo(values.size(node.input[0], integerAttribute(node, 'axis', 0)))
/** An index into the rows of another input. */
const rowOf =
  (position: number): Rule =>
  ({ node, values }) =>
    upTo(values.size(node.input[position], 0))

function upTo(size: number | undefined): Demand[] {
  return size !== undefined && size > 0 ? [{ max: size - 1 }] : []
}

/** The shape of the first input, unknown sizes left out. */
function sizesOf({ node, values }: Use): number[] {
  return (values.shape(node.input[0]) ?? []).map((size) => Math.max(size, 1))
}

/** The given shape with as many dimensions as the argument has elements: ones before it, or only its last ones. */
function fittedTo(length: number, shape: readonly number[]): number[] {
  const missing = Array.from({ length: Math.max(0, length - shape.length) }, () => 1)
  return [...missing, ...(length === 0 ? [] : shape.slice(-length))]
}

/** Rows of constants that a target may fit, at most. */
const MAX_ROW_COUNTS = 6

/** The shape itself; a shape of another rank with as many elements; any shape at all; ones that a constant fits. */
const reshapeTarget: Rule = (use) => {
  const { length } = use
  const sizes = sizesOf(use)
  if (length === 0) return []
  const first = [...sizes, ...Array.from({ length }, () => 1)].slice(0, length - 1)
  const flat = Array.from({ length: length - 1 }, () => 1)
  const same = sizes.length === length ? [{ row: sizes }] : []
  const count = sizes.reduce((product, size) => product * size, 1)
  const fitting = use.values.rowCounts(MAX_ROW_COUNTS).filter((size) => count % size === 0 && length > 1)
  const fitted = fitting.map((size) => ({ row: [...flat.slice(1), -1, size] }))
  return [...same, { row: [...first, -1] }, { row: [...flat, -1] }, { row: [-1, ...flat] }, ...fitted]
}

/** Sizes per axis: those of the first input, or of the axes that the node names. */
const sizesOfInput: Rule = (use) => {
  const sizes = sizesOf(use)
  const axes = listAttribute(use.node, 'axes')?.map(Number)
  const row = axes ? axes.map((axis) => sizes.at(axis) ?? 1) : sizes
  return row.length === use.length ? [{ row }] : []
}

const expandTarget: Rule = (use) => [
  { row: fittedTo(use.length, sizesOf(use)) },
  { row: fittedTo(use.length, []) },
]

const axes: Rule = ({ length }) => [{ row: Array.from({ length }, (_, axis) => axis) }]

const squeezable: Rule = (use) => {
  const found = sizesOf(use).flatMap((size, axis) => (size === 1 ? axis : []))
  return [{ row: Array.from({ length: use.length }, (_, at) => found[at] ?? at) }]
}

const sliceEnds: Rule = (use) => {
  const sizes = sizesOf(use)
  const named = use.values.numbers(use.node.input[3])
  return [{ row: Array.from({ length: use.length }, (_, at) => sizes.at(named?.[at] ?? at) ?? 1) }]
}

/** Equal parts; the last one is smaller if they are not equal. */
const splitSizes: Rule = ({ node, values, length }) => {
  const size = values.size(node.input[0], integerAttribute(node, 'axis', 0)) ?? length
  const part = Math.ceil(size / length)
  return [{ row: Array.from({ length }, (_, at) => Math.max(0, Math.min(part, size - at * part))) }]
}

/** Full length of the sequences along an axis. */
const lengthAlong =
  (axisOf: (node: NodeProto) => number, position = 0): Rule =>
  ({ node, values }) => {
    const size = values.size(node.input[position], axisOf(node))
    return size === undefined ? [] : [{ each: [size] }]
  }

const recurrent = { 4: lengthAlong((node) => integerAttribute(node, 'layout', 0)) }

/** Division by the integer 0 ends the process. */
const divisor: Rule = ({ node, values }) => (INTEGERS.has(values.code(node.input[1])) ? [{ min: 1 }] : [])

/** Of GroupQueryAttention: positions of the cache that are filled after this step. */
function filledCache({ node, values }: Use): number {
  return (values.size(node.input[3], 2) ?? 0) + (values.size(node.input[0], 1) ?? 1)
}

const RULES: Readonly<Record<string, Readonly<Record<number, Rule>>>> = {
  Reshape: { 1: reshapeTarget },
  Expand: { 1: expandTarget },
  ConstantOfShape: { 0: ones },
  Tile: { 1: ones },
  Resize: { 2: ones, 3: sizesOfInput },
  Upsample: { 1: ones },
  CenterCropPad: { 1: sizesOfInput },
  Slice: { 1: always(0), 2: sliceEnds, 3: axes, 4: ones },
  TopK: { 1: always(1) },
  Pad: { 1: always(0, 1), 3: axes },
  Range: { 0: always(0), 1: always(1), 2: always(1) },
  Squeeze: { 1: squeezable },
  Unsqueeze: { 1: axes },
  ...Object.fromEntries(
    ['Max', 'Mean', 'Min', 'Prod', 'Sum', 'SumSquare', 'L1', 'L2', 'LogSum', 'LogSumExp'].map((kind) => [
      `Reduce${kind}`,
      { 1: axes },
    ]),
  ),
  CumSum: { 1: always(0) },
  Trilu: { 1: always(0) },
  Split: { 1: splitSizes },
  OneHot: {
    0: ({ node, values }) => upTo(values.numbers(node.input[1])?.[0]),
    1: always(8),
  },
  Gather: { 1: index },
  'com.microsoft::GatherBlockQuantized': { 1: rowOf(0) },
  'ai.onnx.ml::ArrayFeatureExtractor': { 1: ({ node, values }) => upTo(values.size(node.input[0], -1)) },
  RoiAlign: { 2: rowOf(0) },
  Bernoulli: { 0: always(0.5) },
  GatherElements: { 1: index },
  ScatterElements: { 1: index },
  GatherND: { 1: ({ node, values }) => upTo(Math.min(...indexed(node, values))) },
  ScatterND: { 1: ({ node, values }) => upTo(Math.min(...indexed(node, values))) },
  Div: { 1: divisor },
  Mod: { 1: divisor },
  Loop: { 0: always(2, 1, 0), 1: always(1) },
  Dropout: { 1: always(0.5), 2: always(0) },
  NonMaxSuppression: { 2: always(10), 3: always(0.5), 4: always(0) },
  HannWindow: { 0: always(8) },
  HammingWindow: { 0: always(8) },
  BlackmanWindow: { 0: always(8) },
  RNN: recurrent,
  GRU: recurrent,
  LSTM: recurrent,
  ReverseSequence: { 1: lengthAlong((node) => integerAttribute(node, 'time_axis', 0)) },
  TensorScatter: {
    2: ({ node, values }) => {
      const axis = integerAttribute(node, 'axis', -2)
      const [cache, update] = [values.size(node.input[0], axis), values.size(node.input[1], axis)]
      return cache === undefined || update === undefined ? [] : upTo(cache - update + 1)
    },
  },
  Attention: { 6: lengthAlong(() => -2, 1) },
  RotaryEmbedding: { 3: rowOf(1) },
  'com.microsoft::RotaryEmbedding': { 1: rowOf(2) },
  'com.microsoft::EmbedLayerNormalization': { 0: rowOf(2), 1: rowOf(4), 8: rowOf(3) },
  'com.microsoft::GroupQueryAttention': {
    5: (use) => [{ each: [filledCache(use) - 1] }],
    6: (use) => [{ each: [filledCache(use)] }],
  },
}

/** The sizes that an index of GatherND or ScatterND addresses: leading ones, as many as an index has parts. */
function indexed(node: NodeProto, values: NodeValues): number[] {
  const parts = values.size(node.input[1], -1) ?? 1
  const from = integerAttribute(node, 'batch_dims', 0)
  return (values.shape(node.input[0]) ?? []).slice(from, from + parts)
}
