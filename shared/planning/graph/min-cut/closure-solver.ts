/**
 * Minimum closure: choose a set of nodes, closed under implications, of least total weight, by one minimum cut
 * (J.-C. Picard, "Maximal closure of a graph and applications to combinatorial problems", Management Science 22, 1976).
 *
 * First what follows from single nodes is settled (graph-reduce.ts): chains and branches that join again vanish. What
 * is left is cut by a maximum flow (graph-flow.ts). Weights are scaled to whole numbers whose sum stays below 2^51, so
 * that all arithmetic is exact and residuals are exactly zero; rounding makes a relative error below nodes · 2^-49.
 *
 * One solver is made per graph and used again with other weights: its arrays are made once.
 */
import { costsOfEntering, costsOfLeaving } from './marginals.ts'
import { Reduction } from './reduction.ts'

/** Nodes 0..nodes-1; whoever chooses `from[a]` chooses `to[a]` too. Arcs lead to higher numbers. */
export interface ClosureGraph {
  nodes: number
  from: Int32Array
  to: Int32Array
}

export const FREE = -1

/** Scaled weights sum to at most this. */
const MOST = 2 ** 50

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
   * @returns per node, 1 when it is in the set, valid until the next call; undefined when no closed set keeps `fixed`.
   */
  solve(weights: Float64Array, fixed?: Int8Array): Uint8Array | undefined {
    const state = this.#state
    if (this.#prepare(weights, fixed) === undefined) return undefined
    this.#reduction.reduce(this.#weights, state)
    for (let node = 0; node < state.length; node += 1) this.#side[node] = this.#reduction.sideOf(node)
    return this.#side
  }

  /**
   * Per node what it adds at least to the least weight to have it in the set although it is not, or out of it although it
   * is; 0 for the others, Infinity for those that must not be moved.
   * @param inSet what `solve` found for the same weights.
   * @param most what adds so much or more need not be told apart.
   */
  costsOfMoving(
    way: 'in' | 'out',
    {
      weights,
      fixed,
      inSet,
      most,
    }: { weights: Float64Array; fixed: Int8Array; inSet: Uint8Array; most: number },
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
        most: Math.ceil(most * scale),
      },
    )
    return costs.map((cost) => cost / scale)
  }

  /** @returns the factor between the weights and whole numbers; undefined when no closed set keeps `fixed`. */
  #prepare(weights: Float64Array, fixed: Int8Array | undefined): number | undefined {
    if (fixed === undefined) this.#state.fill(FREE)
    else this.#state.set(fixed)
    if (fixed !== undefined && !this.#spread()) return undefined
    const scale = scaleOf(weights)
    for (let node = 0; node < weights.length; node += 1)
      this.#weights[node] = Math.round(weights[node]! * scale)
    return scale
  }

  /** Takes what the fixed nodes imply as fixed too. @returns false when that contradicts itself. */
  #spread(): boolean {
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

/** The power of two that makes the weights large whole numbers whose sums are exact. */
function scaleOf(weights: Float64Array): number {
  let total = 0
  for (let node = 0; node < weights.length; node += 1) total += Math.abs(weights[node]!)
  return total > 0 ? 2 ** Math.floor(Math.log2(MOST / total)) : 1
}
