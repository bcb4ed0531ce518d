/**
 * How far a stage may reach: for every boundary it begins at, the last boundary it may end at. Limits on time, memory
 * and layers exclude a stage together with all longer ones that begin at the same place, so this one number says
 * everything, and it never falls as the begin moves on: two pointers find all of them in one pass.
 *
 * Where a stage costs more by its begin and end (Unit.enterMs, exitMs), its time is taken at its least here, and each
 * plan is checked again.
 */
import type { Chain } from './compile-chain.ts'
import { type Demands, upTo } from '../limits/search-limits.ts'
import type { Unit } from './chain.ts'

/** @returns per boundary, the last one where a stage from there may end; its own where it may hold nothing. */
export function reachOf(chain: Chain, demands: Demands, unit: Unit): Int32Array {
  const { layers } = chain
  const forbidden = demands.forbidden[unit.resource]
  const maxMs = upTo(Math.min(demands.maxStageMs[unit.resource]!, demands.maxStepMs)) - unit.leastExtraMs
  const maxMemory = demands.maxMemoryBytes[unit.resource]!
  if (maxMs === Infinity && maxMemory === Infinity && forbidden === undefined) return everywhere(layers)
  const reach = new Int32Array(layers + 1).fill(layers)
  // Rounding of the prefix sums must not exclude what a plan is checked for again.
  const slackMs = chain.scaleMs * 1e-13
  const peaks = new PeakWindow(chain.activationBytes)
  const fits = (begin: number, layer: number) =>
    !forbidden?.[layer] &&
    unit.prefixMs[layer + 1]! - unit.prefixMs[begin]! <= maxMs + slackMs &&
    (maxMemory === Infinity ||
      chain.weightPrefix[layer + 1]! - chain.weightPrefix[begin]! + peaks.with(layer) <= maxMemory)
  let end = 0
  for (let begin = 0; begin <= layers; begin += 1) {
    if (end < begin) end = begin
    peaks.begin(begin)
    while (end < layers && fits(begin, end)) {
      peaks.add(end)
      end += 1
    }
    reach[begin] = end
  }
  return reach
}

const free = { layers: -1, reach: new Int32Array(0) }

/** To the end from everywhere: the same array as long as models of one length are asked for. */
function everywhere(layers: number): Int32Array {
  if (free.layers !== layers) {
    free.layers = layers
    free.reach = new Int32Array(layers + 1).fill(layers)
  }
  return free.reach
}

/** Largest value of a window that only moves forward: a queue without what a later, larger value beats. */
class PeakWindow {
  readonly #values: Float64Array
  readonly #queue: Int32Array
  #head = 0
  #tail = 0

  constructor(values: Float64Array) {
    this.#values = values
    this.#queue = new Int32Array(values.length)
  }

  begin(at: number): void {
    while (this.#head < this.#tail && this.#queue[this.#head]! < at) this.#head += 1
  }

  /** The largest if the value there came in, too. */
  with(at: number): number {
    const largest = this.#head < this.#tail ? this.#values[this.#queue[this.#head]!]! : 0
    return Math.max(largest, this.#values[at]!)
  }

  add(at: number): void {
    const value = this.#values[at]!
    while (this.#head < this.#tail && this.#values[this.#queue[this.#tail - 1]!]! <= value) this.#tail -= 1
    this.#queue[this.#tail] = at
    this.#tail += 1
  }
}
