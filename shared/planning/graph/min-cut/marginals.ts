/**
 * What it adds to have one node in the best closed set that is not, or out of it one that is: all that a maximum flow
 * leaves over, and could still take back, on the way from that node (the min-marginals of a minimum cut; P. Kohli and
 * P. Torr, "Measuring uncertainty in graph cut solutions", CVIU 112, 2008).
 *
 * What a node costs, all nodes that imply it cost too: from the cut outwards, the first that costs too much settles
 * everything behind it. So only nodes near the cut are asked for, the others are settled together as for any cut.
 */
import { type ClosureGraph, FREE } from './closure-solver.ts'
import type { Reduction } from './reduction.ts'

/** Nodes on the side to be moved that are asked for; those behind are only known to cost what these do. */
const MOST_ASKED = 24

export interface Asked {
  /** Whole numbers. */
  weights: Float64Array
  /** Per node 1 (must be in the set), 0 (must not) or FREE, with all that follows; it is changed. */
  state: Int8Array
  /** 1 for the nodes of a closed set of least weight. */
  inSet: Uint8Array
  /** What adds so much or more need not be told apart. */
  most: number
}

/**
 * Per node what it adds to be in the set; 0 for those that are, Infinity for those that must not be.
 * @param order arcs by ascending `from`: all arcs lead to higher numbers.
 */
export function costsOfEntering(
  { nodes, from, to }: ClosureGraph,
  order: Int32Array,
  reduction: Reduction,
  { weights, state, inSet, most }: Asked,
): Float64Array {
  const fixed = state.slice()
  const asked = new Uint8Array(nodes)
  let count = 0
  for (let node = nodes - 1; node >= 0 && count < MOST_ASKED; node -= 1)
    if (inSet[node] === 0 && state[node] === FREE) count += asked[node] = 1
  if (count > 0) reduction.reduce(weights, state, { nodes: asked, moving: 'in' })
  const costs = new Float64Array(nodes)
  let at = order.length - 1
  for (let node = nodes - 1; node >= 0; node -= 1) {
    let least = fixed[node] === 0 ? Infinity : 0
    for (; at >= 0 && from[order[at]!] === node; at -= 1) least = Math.max(least, costs[to[order[at]!]!]!)
    if (asked[node] === 1 && least < most) least = Math.max(least, reduction.costOfMoving(node, 'in', most))
    costs[node] = least
  }
  return costs
}

/** Per node what it adds not to be in the set; 0 for those that are not, Infinity for those that must be. */
export function costsOfLeaving(
  { nodes, from, to }: ClosureGraph,
  order: Int32Array,
  reduction: Reduction,
  { weights, state, inSet, most }: Asked,
): Float64Array {
  const costs = Float64Array.from(state, (fixed) => (fixed === 1 ? Infinity : 0))
  const asked = new Uint8Array(nodes)
  let count = 0
  for (let node = 0; node < nodes && count < MOST_ASKED; node += 1)
    if (inSet[node] === 1 && state[node] === FREE) count += asked[node] = 1
  if (count > 0) reduction.reduce(weights, state, { nodes: asked, moving: 'out' })
  let at = 0
  for (let node = 0; node < nodes; node += 1) {
    if (asked[node] === 1 && costs[node]! < most)
      costs[node] = Math.max(costs[node]!, reduction.costOfMoving(node, 'out', most))
    for (; at < order.length && from[order[at]!] === node; at += 1) {
      const implied = to[order[at]!]!
      costs[implied] = Math.max(costs[implied]!, costs[node]!)
    }
  }
  return costs
}
