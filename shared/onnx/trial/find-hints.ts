/**
 * Finds out what made-up values of each input must keep, from the uses that the model makes of the input: a shape, an index
 * into a table, a mask, a category, a number of steps, a value that it is compared with (the other files of this folder).
 * The uses cannot tell everything, so each input has several candidates; trial-search.ts finds out which of them run.
 */
import type { InputHint } from '../../contracts/model.ts'
import type { GraphProto, NodeProto } from '../proto/onnx_pb.ts'
import type { TypedTensor } from '../wire/element-types.ts'
import type { CanonicalGraph } from '../canonical/canonicalise.ts'
import type { Graph } from '../canonical/working-graph.ts'
import { bodiesOf, operatorOf } from '../canonical/scope.ts'
import { demandsOf, type Demand } from './argument-rules.ts'
import { categories, compared, numerals } from './known-values.ts'
import { lengthsByName } from './lengths.ts'
import { unmaskedAt, unmaskedByName } from './masks.ts'
import { NodeValues } from './node-values.ts'
import { follow, INTEGERS, inputTrace, type Trace } from './traces.ts'

/** A use of an input: what one of its columns, or all of it, may be; the most likely first. */
interface Found {
  column: number | undefined
  alternatives: Demand[]
}

/** Per input the hints to try, the most likely first: at least one, which is empty if any values will do. */
export type HintCandidates = Map<string, InputHint[]>

/** Rows of categories are repeated after this many elements. */
const MAX_ELEMENTS = 4096

export function findHints({ graph, layers, types }: CanonicalGraph): HintCandidates {
  const search = new HintSearch(new NodeValues(types, graph.constants), graph)
  for (const node of layers) search.visit(node)
  return new Map(graph.inputs.map((input) => [input.name, search.candidates(input)]))
}

class HintSearch {
  readonly #values: NodeValues
  readonly #inputs: readonly TypedTensor[]
  readonly #declared: readonly TypedTensor[]
  readonly #traces: Map<string, Trace>
  readonly #found = new Map<string, Found[]>()
  readonly #compared = new Map<string, Demand[]>()
  /** Inputs that are added to something. */
  readonly #added = new Set<string>()

  constructor(values: NodeValues, { inputs, declared }: Pick<Graph, 'inputs' | 'declared'>) {
    this.#values = values
    this.#inputs = inputs
    this.#declared = declared
    this.#traces = new Map(inputs.map(({ name, shape }) => [name, inputTrace(name, shape)]))
  }

  visit(node: NodeProto): void {
    const operator = operatorOf(node)
    for (const [position, name] of node.input.entries()) {
      const trace = this.#traces.get(name)
      if (trace) this.#use(node, operator, position, trace)
    }
    for (const [at, trace] of follow(node, this.#traces, this.#values).entries()) {
      const output = node.output[at]
      if (trace && output) this.#traces.set(output, trace)
    }
    for (const body of bodiesOf(node)) this.#visitBody(body)
  }

  #visitBody(body: GraphProto): void {
    this.#values.add(body.initializer)
    for (const node of body.node) this.visit(node)
  }

  #use(node: NodeProto, operator: string, position: number, trace: Trace): void {
    const values = this.#values
    if (operator === 'Add') for (const input of trace.inputs) this.#added.add(input)
    const unmasked = unmaskedAt(operator, node, position, values)
    if (unmasked !== undefined)
      return this.#demand(trace, [{ each: [trace.inverted ? 1 - unmasked : unmasked] }])
    if (operator === 'If') return this.#demand(trace, this.#branch(trace))
    const length = trace.columns?.length ?? values.size(node.input[position], -1) ?? 1
    this.#demand(trace, demandsOf(operator, position, { node, values, length }))
    if (position === 0)
      this.#demand(trace, [...categories(operator, node, values), ...numerals(operator, node, values)])
    const choices = compared(operator, node, position, values)
    for (const input of trace.inputs)
      this.#compared.set(input, [...(this.#compared.get(input) ?? []), ...choices])
  }

  /** Both branches; if a cache is empty, first the one that does not read it. */
  #branch(trace: Trace): Demand[] {
    const isEmpty = this.#inputs.some(({ shape }) => shape.includes(0))
    const first = isEmpty === trace.inverted ? 1 : 0
    return [{ each: [first] }, { each: [1 - first] }]
  }

  #demand(trace: Trace, alternatives: Demand[]): void {
    if (alternatives.length === 0) return
    const add = (input: string, found: Found) => {
      const known = this.#found.get(input)
      if (known) known.push(found)
      else this.#found.set(input, [found])
    }
    if (!trace.columns) {
      for (const input of trace.inputs) add(input, { column: undefined, alternatives })
      return
    }
    for (const [at, column] of trace.columns.entries()) {
      if (!column) continue
      const own = alternatives.map(({ row, ...rest }) => ({ ...rest, ...(row && { each: [row[at] ?? 1] }) }))
      add(column.input, { column: column.index, alternatives: own })
    }
  }

  candidates(input: TypedTensor): InputHint[] {
    const found = this.#found.get(input.name) ?? []
    const count = Math.max(0, ...found.map(({ alternatives }) => alternatives.length))
    const byUse = Array.from({ length: count }, (_, at) => hintOf(found, at, input.shape))
    const byName = byUse.some(isSettled) ? [] : this.#byName(input)
    const choices = (this.#compared.get(input.name) ?? []).map(({ each }) => fixed(each?.[0]))
    const first = byName.length === 0 && count === 0 ? [{}] : []
    return [...byName, ...first, ...byUse, ...choices]
  }

  #byName(input: TypedTensor): InputHint[] {
    const unmasked = unmaskedByName(input.name, this.#added.has(input.name))
    if (unmasked !== undefined) return [{ value: unmasked }]
    if (!INTEGERS.has(input.code)) return []
    return lengthsByName(input, this.#inputs, this.#declared).map((value) => ({ value }))
  }
}

/** True if a hint says more than a range. */
const isSettled = ({ value, elements }: InputHint): boolean => value !== undefined || elements !== undefined

const fixed = (value: number | string | undefined): InputHint =>
  typeof value === 'number' ? { value } : { elements: [value ?? null] }

/** The demands of all uses at once, each its alternative `at` or its last one. */
function hintOf(found: readonly Found[], at: number, shape: readonly number[]): InputHint {
  const chosen = found.map(({ column, alternatives }) => ({
    column,
    ...alternatives[Math.min(at, alternatives.length - 1)],
  }))
  const mins = chosen.flatMap(({ min }) => min ?? [])
  const maxs = chosen.flatMap(({ max }) => max ?? [])
  return {
    ...(mins.length > 0 && { min: Math.max(...mins) }),
    ...(maxs.length > 0 && { max: Math.min(...maxs) }),
    ...elementsOf(chosen, shape),
  }
}

type Chosen = Demand & { column: number | undefined }

function elementsOf(chosen: readonly Chosen[], shape: readonly number[]): InputHint {
  const width = shape.at(-1) ?? 1
  const columns = new Map<number, readonly (number | string)[]>()
  for (const { column, row, each } of chosen) {
    if (row && column === undefined) return row.length > 0 ? { elements: [...row] } : {}
    if (!each || each.length === 0) continue
    if (column === undefined) for (let at = 0; at < width; at++) columns.set(at, each)
    else columns.set(column, each)
  }
  const lists = [...columns.values()]
  if (lists.length === 0) return {}
  const [first] = lists
  const value = first?.[0]
  const isSame = columns.size === width && lists.every((list) => list.length === 1 && list[0] === value)
  if (isSame && typeof value === 'number') return { value }
  const rows = Math.max(1, ...lists.map((list) => list.length))
  const kept = Math.max(1, Math.min(rows, Math.floor(MAX_ELEMENTS / Math.max(1, width))))
  if (width > MAX_ELEMENTS) return {}
  return {
    elements: Array.from({ length: kept * width }, (_, at) => {
      const list = columns.get(at % width)
      return list?.[Math.floor(at / width) % list.length] ?? null
    }),
  }
}
