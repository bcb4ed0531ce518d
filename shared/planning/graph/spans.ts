/**
 * Consequences of "stop s must run some layer of the span [from, to) of groups": groups that all groups of the span come
 * from cannot lie beyond the stop, and groups that all of them lead to cannot lie before it. Halving the span until a plan
 * uses the stop finds the best layer for it without trying each one.
 */
import type { CompiledGraph } from './compile-graph.ts'
import type { Domain } from './placement.ts'

export interface Span {
  stop: number
  from: number
  to: number
}

/** Neighbours of group g: `list[first[g]..first[g + 1])`. */
interface Neighbours {
  first: Int32Array
  list: Int32Array
}

interface SpanCache {
  before: Neighbours
  after: Neighbours
  /** By span: several routes ask for the same ones. */
  common: Map<string, { earlier: Uint8Array; later: Uint8Array }>
}

/** Spans kept per graph. */
const MAX_SPANS = 512

const caches = new WeakMap<CompiledGraph, SpanCache>()

function cacheOf(graph: CompiledGraph): SpanCache {
  const known = caches.get(graph)
  if (known) return known
  const made = {
    before: neighboursOf(graph, graph.to, graph.from),
    after: neighboursOf(graph, graph.from, graph.to),
    common: new Map(),
  }
  caches.set(graph, made)
  return made
}

function neighboursOf({ groups }: CompiledGraph, near: Int32Array, far: Int32Array): Neighbours {
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

/** The domain with all consequences of the span; undefined if they contradict it. */
export function narrow(graph: CompiledGraph, domain: Domain, { stop, from, to }: Span): Domain | undefined {
  const low = domain.low.slice()
  const high = domain.high.slice()
  const { earlier, later } = commonOf(graph, from, to)
  for (let group = 0; group < graph.groups; group += 1) {
    const alone = to === from + 1 && group === from
    if (earlier[group] === 1 || alone) high[group] = Math.min(high[group]!, stop)
    if (later[group] === 1 || alone) low[group] = Math.max(low[group]!, stop)
    if (low[group]! > high[group]!) return undefined
  }
  return { low, high }
}

function commonOf(graph: CompiledGraph, from: number, to: number) {
  const { before, after, common: spans } = cacheOf(graph)
  const key = `${from} ${to}`
  const known = spans.get(key)
  if (known) return known
  const made = { earlier: common(graph, before, from, to), later: common(graph, after, from, to) }
  if (spans.size >= MAX_SPANS) spans.clear()
  spans.set(key, made)
  return made
}

/** Groups of a span that are traced in one pass, one bit each. */
const BATCH_BITS = 31

/**
 * 1 for each group that every group of the span reaches along the lists; a group reaches itself. Only groups of the span
 * that reach no other group of it need to be traced.
 */
function common(graph: CompiledGraph, lists: Neighbours, from: number, to: number): Uint8Array {
  const ends: number[] = []
  for (let group = from; group < to; group += 1) if (!hasWithin(lists, group, from, to)) ends.push(group)
  const all = new Uint8Array(graph.groups).fill(1)
  for (let at = 0; at < ends.length; at += BATCH_BITS) keepCommon(lists, ends.slice(at, at + BATCH_BITS), all)
  return all
}

/** Whether a neighbour of the group is within the span: the group reaches all that the neighbour reaches. */
function hasWithin({ first, list }: Neighbours, group: number, from: number, to: number): boolean {
  for (let at = first[group]!; at < first[group + 1]!; at += 1)
    if (list[at]! >= from && list[at]! < to) return true
  return false
}

/** Leaves 1 only for groups that all starts reach. All lists lead in one direction, up or down the numbers. */
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

/** The first group with neighbours. */
function ownerOf(first: Int32Array): number {
  let group = 0
  while (first[group + 1] === 0) group += 1
  return group
}
