/**
 * Minimum closure: a set of nodes, closed under implications, of least total weight, by one minimum cut (J.-C. Picard,
 * Maximal closure of a graph and applications to combinatorial problems, Management Science 22, 1976). And its
 * min-marginals: the increase of the least weight if one node is forced to the other side, which is the flow that a maximum
 * flow leaves over for that node (P. Kohli and P. Torr, Measuring uncertainty in graph cut solutions, CVIU 112, 2008).
 *
 * Weights are scaled to whole numbers whose sum stays below 2^51, so that all arithmetic is exact and residuals are exactly
 * 0; rounding makes a relative error below nodes · 2^-49. One solver is made per graph and used again with other weights:
 * its arrays are allocated once.
 */
import { type ClosureGraph, FREE } from './closure-graph.ts'
import { Reduction } from './reduction.ts'

/** Largest sum of the scaled weights. */
const MAX_TOTAL = 2 ** 50

export class ClosureSolver {
  readonly #graph: ClosureGraph
  /** Arcs by ascending `from`. */
  readonly #order: Int32Array
  readonly #state: Int8Array
  readonly #weights: Float64Array
  readonly #side: Uint8Array
  readonly #reduction: Reduction

  constructor(graph: ClosureGraph) {
    const { nodes, from } = graph
    this.#graph = graph
    this.#order = Int32Array.from(from, (_, arc) => arc).sort((a, b) => from[a]! - from[b]!)
    this.#state = new Int8Array(nodes)
    this.#weights = new Float64Array(nodes)
    this.#side = new Uint8Array(nodes)
    this.#reduction = new Reduction(graph)
  }

  /**
   * A closed set of least weight.
   * @param fixed per node 1 (in the set), 0 (not in it) or FREE.
   * @param enough a least weight from here on, beyond rounding, need not be found out. @defaultValue Infinity
   * @returns per node, 1 if it is in the set; valid until the next call. Undefined if no closed set agrees with `fixed`;
   * `enough` if the least weight is at least that.
   */
  solve(weights: Float64Array, fixed?: Int8Array): Uint8Array | undefined
  solve(weights: Float64Array, fixed: Int8Array, enough: number): Uint8Array | 'enough' | undefined
  solve(weights: Float64Array, fixed?: Int8Array, enough = Infinity): Uint8Array | 'enough' | undefined {
    const state = this.#state
    const scale = this.#prepare(weights, fixed)
    if (scale === undefined) return undefined
    // Each weight is rounded by up to a half.
    const scaled = Math.ceil(enough * scale) + weights.length
    if (!this.#reduction.reduce(this.#weights, state, { enough: scaled })) return 'enough'
    for (let node = 0; node < state.length; node += 1) this.#side[node] = this.#reduction.sideOf(node)
    return this.#side
  }

  /**
   * Per node a lower bound on its min-marginal: the increase of the least weight if the node is forced into the set (`in`)
   * or out of it (`out`). 0 for nodes that are there already, Infinity for nodes that must not move.
   * @param inSet the result of `solve` for the same weights.
   * @param max increases from here on need not be distinguished.
   * @param begin the nodes from here, @param end up to here, are those that matter. @defaultValue all
   */
  costsOfMoving(
    way: 'in' | 'out',
    {
      weights,
      fixed,
      inSet,
      max,
      begin = 0,
      end = weights.length,
    }: {
      weights: Float64Array
      fixed: Int8Array
      inSet: Uint8Array
      max: number
      begin?: number
      end?: number
    },
  ): Float64Array {
    const scale = this.#prepare(weights, fixed)
    if (scale === undefined) return new Float64Array(weights.length).fill(Infinity)
    const costs = (way === 'in' ? costsOfEntering : costsOfLeaving)(
      this.#graph,
      this.#order,
      this.#reduction,
      {
        weights: this.#weights,
        state: this.#state,
        inSet,
        max: Math.ceil(max * scale),
        begin,
        end,
      },
    )
    return costs.map((cost) => cost / scale)
  }

  /** @returns the factor from the weights to whole numbers; undefined if no closed set agrees with `fixed`. */
  #prepare(weights: Float64Array, fixed: Int8Array | undefined): number | undefined {
    if (fixed === undefined) this.#state.fill(FREE)
    else this.#state.set(fixed)
    if (fixed !== undefined && !this.#propagate()) return undefined
    const scale = scaleOf(weights)
    for (let node = 0; node < weights.length; node += 1)
      this.#weights[node] = Math.round(weights[node]! * scale)
    return scale
  }

  /** Fixes the nodes that fixed nodes imply. @returns false on a contradiction. */
  #propagate(): boolean {
    const { from, to } = this.#graph
    const state = this.#state
    for (const arc of this.#order) {
      if (state[from[arc]!] !== 1) continue
      if (state[to[arc]!] === 0) return false
      state[to[arc]!] = 1
    }
    for (let at = this.#order.length - 1; at >= 0; at -= 1) {
      const arc = this.#order[at]!
      if (state[to[arc]!] !== 0) continue
      if (state[from[arc]!] === 1) return false
      state[from[arc]!] = 0
    }
    return true
  }
}

/** The power of two that scales the weights to large whole numbers whose sums are exact. */
function scaleOf(weights: Float64Array): number {
  let total = 0
  for (let node = 0; node < weights.length; node += 1) total += Math.abs(weights[node]!)
  return total > 0 ? 2 ** Math.floor(Math.log2(MAX_TOTAL / total)) : 1
}

/** Nodes next to the cut whose marginals are computed; nodes behind them get the bounds of these. */
const MAX_COMPUTED = 24

interface MarginalQuery {
  /** Whole numbers. */
  weights: Float64Array
  /** Per node 1 (must be in the set), 0 (must not be) or FREE, with all consequences; it is overwritten. */
  state: Int8Array
  /** Per node 1 if it is in a closed set of least weight. */
  inSet: Uint8Array
  /** Increases from here on need not be distinguished. */
  max: number
  /** The nodes that matter. */
  begin: number
  end: number
}

/**
 * Per node the increase if it is forced into the set; 0 for nodes in the set, Infinity for nodes that must not be in it.
 *
 * A node costs at least as much as each node that it implies. So from the cut outwards, the first node that costs too much
 * settles all nodes behind it, and only nodes next to the cut are computed.
 * @param order arcs by ascending `from`: all arcs lead to higher numbers.
 */
function costsOfEntering(
  { nodes, from, to }: ClosureGraph,
  order: Int32Array,
  reduction: Reduction,
  { weights, state, inSet, max, begin, end }: MarginalQuery,
): Float64Array {
  const fixed = state.slice()
  const isComputed = new Uint8Array(nodes)
  let count = 0
  for (let node = end - 1; node >= begin && count < MAX_COMPUTED; node -= 1)
    if (inSet[node] === 0 && state[node] === FREE) count += isComputed[node] = 1
  if (count > 0) reduction.reduce(weights, state, { moved: { nodes: isComputed, moving: 'in' } })
  const costs = new Float64Array(nodes)
  let at = order.length - 1
  for (let node = nodes - 1; node >= 0; node -= 1) {
    let cost = fixed[node] === 0 ? Infinity : 0
    for (; at >= 0 && from[order[at]!] === node; at -= 1) cost = Math.max(cost, costs[to[order[at]!]!]!)
    if (isComputed[node] === 1 && cost < max) cost = Math.max(cost, reduction.costOfMoving(node, 'in', max))
    costs[node] = cost
  }
  return costs
}

/** Per node the increase if it is forced out of the set; 0 for nodes outside, Infinity for nodes that must be in it. */
function costsOfLeaving(
  { nodes, from, to }: ClosureGraph,
  order: Int32Array,
  reduction: Reduction,
  { weights, state, inSet, max, begin, end }: MarginalQuery,
): Float64Array {
  const costs = Float64Array.from(state, (fixed) => (fixed === 1 ? Infinity : 0))
  const isComputed = new Uint8Array(nodes)
  let count = 0
  for (let node = begin; node < end && count < MAX_COMPUTED; node += 1)
    if (inSet[node] === 1 && state[node] === FREE) count += isComputed[node] = 1
  if (count > 0) reduction.reduce(weights, state, { moved: { nodes: isComputed, moving: 'out' } })
  let at = 0
  for (let node = 0; node < nodes; node += 1) {
    if (isComputed[node] === 1 && costs[node]! < max)
      costs[node] = Math.max(costs[node]!, reduction.costOfMoving(node, 'out', max))
    for (; at < order.length && from[order[at]!] === node; at += 1) {
      const implied = to[order[at]!]!
      costs[implied] = Math.max(costs[implied]!, costs[node]!)
    }
  }
  return costs
}
