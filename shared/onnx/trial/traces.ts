/**
 * Follows the values of graph inputs through operators that keep them: which inputs the elements of a tensor come from and,
 * if it is known, which column of an input each column of the tensor is (its elements along the last axis). A shape that is
 * concatenated of numbers, and a table of which a column is picked, stay traceable.
 */
import type { NodeProto } from '../proto/onnx_pb.ts'
import { CODE } from '../wire/element-types.ts'
import { operatorOf } from '../canonical/scope.ts'
import { integerAttribute, type NodeValues } from './node-values.ts'

interface Column {
  input: string
  index: number
}

export interface Trace {
  inputs: ReadonlySet<string>
  /** Along the last axis (one for a scalar); undefined for what comes from elsewhere, or as a whole if not known. */
  columns?: readonly (Column | undefined)[]
  /** True if 1 became 0 and 0 became 1. */
  inverted: boolean
}

/** Operators whose output has the elements of their first input. */
const RESHAPING = new Set(['Squeeze', 'Unsqueeze', 'Reshape', 'Flatten', 'Expand', 'Transpose'])
const KEEPING = new Set(['Identity', 'Cast', 'StringNormalizer', 'com.microsoft::Cast'])
/** Wider tensors are traced as a whole. */
const MAX_COLUMNS = 4096

/** The trace of a graph input with this shape. */
export function inputTrace(input: string, shape: readonly number[]): Trace {
  const width = shape.at(-1) ?? 1
  const columns = Array.from({ length: Math.min(width, MAX_COLUMNS) }, (_, index) => ({ input, index }))
  return { inputs: new Set([input]), inverted: false, ...(width <= MAX_COLUMNS ? { columns } : {}) }
}

/** Traces of the node's outputs; those that do not keep the values of an input are absent. */
export function follow(
  node: NodeProto,
  traces: ReadonlyMap<string, Trace>,
  values: NodeValues,
): (Trace | undefined)[] {
  const operator = operatorOf(node)
  if (operator === 'Concat') return [concatenated(node, traces, values)]
  const trace = node.input.map((name) => traces.get(name)).find(Boolean)
  const from = node.input.findIndex((name) => traces.get(name) === trace)
  if (!trace) return []
  if (isInversion(operator, node, from, values)) return [{ ...trace, inverted: !trace.inverted }]
  if (from !== 0) return []
  if (KEEPING.has(operator)) return [trace]
  if (RESHAPING.has(operator)) return [reshaped(node, trace, values)]
  const picked = pickedColumns(operator, node, trace, values)
  return picked ?? []
}

function isInversion(operator: string, node: NodeProto, from: number, values: NodeValues): boolean {
  const other = values.numbers(node.input[1 - from])
  if (operator === 'Not') return true
  if (operator === 'Equal') return other?.every((value) => value === 0) === true
  return operator === 'Sub' && from === 1 && other?.every((value) => value === 1) === true
}

function reshaped(node: NodeProto, trace: Trace, values: NodeValues): Trace {
  const { columns, ...whole } = trace
  const before = values.shape(node.input[0]) ?? []
  const after = values.shape(node.output[0]) ?? []
  const oneRow = (shape: readonly number[]) => shape.filter((size) => size !== 1).length <= 1
  const kept = node.opType !== 'Transpose' && before.at(-1) === after.at(-1)
  const row = oneRow(before) && oneRow(after) && columns?.length === (after.find((size) => size !== 1) ?? 1)
  // A row that becomes a column: its elements stay in order, but each is then in the same column.
  const asRow = row && (after.at(-1) !== 1 || columns.length === 1)
  return columns && (kept || asRow) ? trace : whole
}

function concatenated(
  node: NodeProto,
  traces: ReadonlyMap<string, Trace>,
  values: NodeValues,
): Trace | undefined {
  const parts = node.input.map((name) => ({ trace: traces.get(name), width: values.size(name, -1) }))
  const found = parts.flatMap(({ trace }) => trace ?? [])
  if (found.length === 0) return undefined
  const inputs = new Set(found.flatMap((trace) => [...trace.inputs]))
  const inverted = found.every((trace) => trace.inverted)
  const axis = integerAttribute(node, 'axis', 0)
  const rank = values.shape(node.input[0])?.length
  const isLast = axis === -1 || (rank !== undefined && axis === rank - 1)
  const isKnown = parts.every(({ trace, width }) => (trace ? trace.columns : width !== undefined))
  if (!isLast || !isKnown) return { inputs, inverted }
  const columns = parts.flatMap(
    ({ trace, width = 0 }) =>
      trace?.columns ?? Array.from({ length: Math.min(width, MAX_COLUMNS) }, () => undefined),
  )
  return { inputs, inverted, columns }
}

/** Traces of operators that pick elements; undefined for any other operator. */
function pickedColumns(
  operator: string,
  node: NodeProto,
  trace: Trace,
  values: NodeValues,
): Trace[] | undefined {
  const { columns, ...whole } = trace
  const rank = values.shape(node.input[0])?.length ?? 0
  const isLast = (axis: number) => axis === -1 || axis === rank - 1
  const pick = (indices: readonly number[]) => {
    const picked = indices.map((index) => columns?.at(index))
    const inputs = new Set(picked.flatMap((column) => column?.input ?? []))
    return columns ? { inputs, columns: picked, inverted: trace.inverted } : whole
  }
  switch (operator) {
    case 'ai.onnx.ml::ArrayFeatureExtractor':
    case 'Gather': {
      const onLast = operator !== 'Gather' || isLast(integerAttribute(node, 'axis', 0))
      const indices = values.numbers(node.input[1])
      if (!onLast) return [trace]
      return [indices ? pick(indices) : whole]
    }
    case 'Split': {
      if (!isLast(integerAttribute(node, 'axis', 0))) return node.output.map(() => trace)
      const widths = node.output.map((name) => values.size(name, -1) ?? 0)
      const starts = widths.map((_, index) => widths.slice(0, index).reduce((sum, width) => sum + width, 0))
      return widths.map((width, index) =>
        pick(Array.from({ length: width }, (_, at) => (starts[index] ?? 0) + at)),
      )
    }
    case 'Slice': {
      const [start, end, axis = 0, step = 1] = [1, 2, 3, 4].map((at) => values.numbers(node.input[at])?.[0])
      const many = (values.numbers(node.input[1])?.length ?? 0) !== 1
      if (many || start === undefined || end === undefined || step !== 1) return [whole]
      if (!isLast(axis)) return [trace]
      const all = (columns ?? []).map((_, index) => index)
      return [pick(all.slice(start, end))]
    }
    default:
      return undefined
  }
}

/** Codes of whole numbers. */
export const INTEGERS: ReadonlySet<number | undefined> = new Set<number | undefined>([
  CODE.INT8,
  CODE.INT16,
  CODE.INT32,
  CODE.INT64,
  CODE.UINT8,
  CODE.UINT16,
  CODE.UINT32,
  CODE.UINT64,
])
