/**
 * How far a stage may reach: for every position it begins at, the last position it may end at. Limits on time, memory
 * and layers only ever exclude a stage together with all longer ones that begin at the same place, so this one number
 * says everything, and it never falls as the begin moves on: two pointers find all of them in one pass.
 */
import type { Chain } from './chain.ts'

/** What a stage on one resource must keep to. */
export interface StageLimits {
  maxMs: number
  maxMemoryBytes: number
  /** Layers it must not run. */
  forbidden: Set<number>
}

export function noLimits(): StageLimits {
  return { maxMs: Infinity, maxMemoryBytes: Infinity, forbidden: new Set() }
}

/** @returns per position, the last position where a stage from there may end; its own where it may hold nothing. */
export function reachOf(
  chain: Chain,
  positions: Int32Array,
  prefixMs: Float64Array,
  limits: StageLimits,
): Int32Array {
  const last = positions.length - 1
  const reach = new Int32Array(positions.length).fill(last)
  const { maxMs, maxMemoryBytes, forbidden } = limits
  if (maxMs === Infinity && maxMemoryBytes === Infinity && forbidden.size === 0) return reach
  const nextForbidden = nextForbiddenOf(chain.layers, forbidden)
  const fits = (from: number, to: number) =>
    to <= nextForbidden[from]! &&
    prefixMs[to]! - prefixMs[from]! <= maxMs &&
    (maxMemoryBytes === Infinity || memoryOf(chain, from, to) <= maxMemoryBytes)
  let end = 0
  for (let begin = 0; begin <= last; begin += 1) {
    end = Math.max(end, begin)
    while (end < last && fits(positions[begin]!, positions[end + 1]!)) end += 1
    reach[begin] = end
  }
  return reach
}

/** Bytes of the weights and of the largest activations of layers [from, to). */
function memoryOf(chain: Chain, from: number, to: number): number {
  let peak = 0
  for (let layer = from; layer < to; layer += 1) peak = Math.max(peak, chain.activationBytes[layer]!)
  return chain.weightPrefix[to]! - chain.weightPrefix[from]! + peak
}

/** Per layer, the first forbidden one from it on: stages that begin there end before or at it. */
function nextForbiddenOf(layers: number, forbidden: Set<number>): Float64Array {
  const next = new Float64Array(layers + 1).fill(Infinity)
  for (let layer = layers - 1; layer >= 0; layer -= 1)
    next[layer] = forbidden.has(layer) ? layer : next[layer + 1]!
  return next
}
