/**
 * What follows when a place must hold some layer of a span [from, to) of groups: groups that all of the span come from
 * cannot lie beyond the place, and groups that all of the span lead to cannot lie before it. Halving the span until a
 * plan uses the place finds the best layer for it without trying every one.
 */
import type { Domain } from './closure-problem.ts'
import type { CompiledGraph } from './compile-graph.ts'

export interface Span {
  place: number
  from: number
  to: number
}

interface Neighbours {
  first: Int32Array
  list: Int32Array
}

interface Known {
  before: Neighbours
  after: Neighbours
  /** By span: other paths ask for the same ones. */
  common: Map<string, { earlier: Uint8Array; later: Uint8Array }>
}

/** Spans remembered per graph. */
const MOST_SPANS = 512

const known = new WeakMap<CompiledGraph, Known>()

function neighboursOf(graph: CompiledGraph): Known {
  const kept = known.get(graph)
  if (kept) return kept
  const made = {
    before: listed(graph, graph.to, graph.from),
    after: listed(graph, graph.from, graph.to),
    common: new Map(),
  }
  known.set(graph, made)
  return made
}

function listed({ groups }: CompiledGraph, near: Int32Array, far: Int32Array): Neighbours {
  const first = new Int32Array(groups + 1)
  const isEdge = (arc: number) => near[arc]! < groups && far[arc]! < groups
  for (let arc = 0; arc < near.length; arc += 1) if (isEdge(arc)) first[near[arc]! + 1]! += 1
  for (let group = 0; group < groups; group += 1) first[group + 1]! += first[group]!
  const free = first.slice()
  const list = new Int32Array(first[groups]!)
  for (let arc = 0; arc < near.length; arc += 1) {
    if (!isEdge(arc)) continue
    list[free[near[arc]!]!] = far[arc]!
    free[near[arc]!]! += 1
  }
  return { first, list }
}

/** The domain with what the span implies; undefined when that contradicts it. */
export function narrow(graph: CompiledGraph, domain: Domain, { place, from, to }: Span): Domain | undefined {
  const low = domain.low.slice()
  const high = domain.high.slice()
  const { earlier, later } = commonOf(graph, from, to)
  for (let group = 0; group < graph.groups; group += 1) {
    const alone = to === from + 1 && group === from
    if (earlier[group] === 1 || alone) high[group] = Math.min(high[group]!, place)
    if (later[group] === 1 || alone) low[group] = Math.max(low[group]!, place)
    if (low[group]! > high[group]!) return undefined
  }
  return { low, high }
}

function commonOf(graph: CompiledGraph, from: number, to: number) {
  const { before, after, common: spans } = neighboursOf(graph)
  const key = `${from} ${to}`
  const kept = spans.get(key)
  if (kept) return kept
  const made = { earlier: common(graph, before, from, to), later: common(graph, after, from, to) }
  if (spans.size >= MOST_SPANS) spans.clear()
  spans.set(key, made)
  return made
}

/** Groups of a span that are told apart in one pass: bits of a number. */
const BATCH = 31

/**
 * 1 for the groups that every group of the span leads to along the lists, and for the one that all others lead to.
 * Only those matter whose lists do not lead on within the span.
 */
function common(graph: CompiledGraph, lists: Neighbours, from: number, to: number): Uint8Array {
  const ends: number[] = []
  for (let group = from; group < to; group += 1) if (!hasWithin(lists, group, from, to)) ends.push(group)
  const all = new Uint8Array(graph.groups).fill(1)
  for (let at = 0; at < ends.length; at += BATCH) keepCommon(lists, ends.slice(at, at + BATCH), all)
  return all
}

/** Whether the group's lists lead on within the span: then what it leads to counts by that one. */
function hasWithin({ first, list }: Neighbours, group: number, from: number, to: number): boolean {
  for (let at = first[group]!; at < first[group + 1]!; at += 1)
    if (list[at]! >= from && list[at]! < to) return true
  return false
}

/** Leaves 1 only where all of the starts lead to. Lists lead one way, up or down the numbers. */
function keepCommon({ first, list }: Neighbours, starts: readonly number[], all: Uint8Array): void {
  const last = all.length - 1
  const reachedBy = new Int32Array(all.length)
  starts.forEach((start, bit) => {
    reachedBy[start] = 1 << bit
  })
  const isDown = list.length > 0 && list[0]! < ownerOf(first)
  for (let step = 0; step <= last; step += 1) {
    const group = isDown ? last - step : step
    const bits = reachedBy[group]!
    if (bits === 0) continue
    for (let at = first[group]!; at < first[group + 1]!; at += 1) reachedBy[list[at]!]! |= bits
  }
  const full = 2 ** starts.length - 1
  for (let group = 0; group <= last; group += 1) if (reachedBy[group] !== full) all[group] = 0
}

/** The first group with a list. */
function ownerOf(first: Int32Array): number {
  let group = 0
  while (first[group + 1] === 0) group += 1
  return group
}
