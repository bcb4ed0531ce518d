/**
 * The space that one search covers: a chain under limits. Everything in it is computed on first use.
 *
 * Reach: for every boundary where a stage may begin, the last boundary where it may end. Limits on time, memory and layers
 * that exclude a stage exclude all longer stages with the same begin too, so this one number says everything. It never
 * falls as the begin moves on, so two pointers find all of it in one pass. If a stage has costs of beginning and ending
 * (Runner.enterMs, exitMs), its time is taken at its minimum here, and each plan is checked again.
 */
import { figureOf } from '../problem/figures.ts'
import type { Figures } from '../problem/problem.ts'
import { type SearchLimits, upTo } from '../limits/search-limits.ts'
import type { Chain, Runner } from './chain.ts'
import { type Hop, hopOf, type HopsByPair, type HopTable, hopTableOf, type RouteStop } from './hops.ts'
import { SlidingMaximum } from './sliding-window.ts'

/** Watts and prices per resource of the chain; 0 if not given. */
export type ChainFigures = Record<keyof Figures, Float64Array>

export function chainFiguresOf({ resources }: Chain, given: Figures): ChainFigures {
  const byResource = (field: keyof Figures) =>
    Float64Array.from(resources, ({ name }) => figureOf(given, field, name))
  return {
    busyWatts: byResource('busyWatts'),
    idleWatts: byResource('idleWatts'),
    transmitWatts: byResource('transmitWatts'),
    pricePerSecond: byResource('pricePerSecond'),
    pricePerGb: byResource('pricePerGb'),
  }
}

const AT_INPUT = Int32Array.of(0)

/** Per option of a hop, the options [low, high) of the next hop that may follow it. */
export interface Windows {
  low: Int32Array
  high: Int32Array
}

export class SearchSpace {
  readonly chain: Chain
  readonly limits: SearchLimits
  readonly figures: ChainFigures
  /** Boundaries where the model may be cut, without 0 and N; limits on the first layers do not count here. */
  readonly cuts: Int32Array
  /** The source if it runs nothing. */
  readonly idleSource: RouteStop
  readonly #table: HopTable
  readonly #reach = new Map<Runner, Int32Array>()
  /** Hops that no limit thins out, shared with other searches. */
  readonly #shared: HopsByPair
  /** Hops of this search alone. */
  readonly #own: HopsByPair = new Map()
  /** By the boundaries of the hop before, those of the hop after, and the reach of a stage between. */
  readonly #windows = new Map<Int32Array, Map<Int32Array, Map<Int32Array, Windows>>>()

  constructor(chain: Chain, limits: SearchLimits, figures: ChainFigures) {
    this.chain = chain
    this.limits = limits
    this.figures = figures
    this.#table = hopTableOf(chain)
    this.idleSource = this.#table.idleSource
    const { cuts, hops } = this.#table.hopsFor(limits)
    this.cuts = cuts
    this.#shared = hops
  }

  stopOf(runner: Runner): RouteStop {
    return this.#table.stopOf(runner)
  }

  /** Per boundary where a stage begins, the last boundary where it may end. */
  reachOf(runner: Runner): Int32Array {
    let reach = this.#reach.get(runner)
    if (!reach) {
      reach = reachOf(this.chain, this.limits, runner)
      this.#reach.set(runner, reach)
    }
    return reach
  }

  /** The options of a hop that may follow each option of the hop before. */
  windowsBetween(before: Hop, after: Hop): Windows {
    const reach = this.reachOf(before.to)
    let byAfter = this.#windows.get(before.boundary)
    if (!byAfter) this.#windows.set(before.boundary, (byAfter = new Map()))
    let byReach = byAfter.get(after.boundary)
    if (!byReach) byAfter.set(after.boundary, (byReach = new Map()))
    let windows = byReach.get(reach)
    if (!windows) byReach.set(reach, (windows = windowsBetween(before, after, reach)))
    return windows
  }

  hopOf(from: RouteStop, to: Runner): Hop {
    const { maxStepMs, maxUploadBytes } = this.limits
    const limited = maxStepMs < Infinity || maxUploadBytes[from.resource]! < Infinity
    const hops = limited ? this.#own : this.#shared
    let byRunner = hops.get(from)
    if (!byRunner) hops.set(from, (byRunner = new Map()))
    let hop = byRunner.get(to)
    if (!hop) {
      hop = hopOf(this.chain, this.limits, from, to, from.runner ? this.cuts : AT_INPUT)
      byRunner.set(to, hop)
    }
    return hop
  }
}

function windowsBetween(before: Hop, after: Hop, reach: Int32Array): Windows {
  const low = new Int32Array(before.count)
  const high = new Int32Array(before.count)
  let begin = 0
  let end = 0
  for (let option = 0; option < before.count; option += 1) {
    const from = before.boundary[option]!
    const to = reach[from]!
    while (begin < after.count && after.boundary[begin]! <= from) begin += 1
    while (end < after.count && after.boundary[end]! <= to) end += 1
    low[option] = begin
    high[option] = end
  }
  return { low, high }
}

/** Per boundary, the last boundary where a stage from there may end; the boundary itself if no layer may follow. */
function reachOf(chain: Chain, limits: SearchLimits, runner: Runner): Int32Array {
  const { layers } = chain
  const forbidden = limits.forbidden[runner.resource]
  const maxMs = upTo(Math.min(limits.maxStageMs[runner.resource]!, limits.maxStepMs)) - runner.minExtraMs
  const maxMemory = limits.maxMemoryBytes[runner.resource]!
  if (maxMs === Infinity && maxMemory === Infinity && forbidden === undefined) return unlimited(layers)
  const reach = new Int32Array(layers + 1).fill(layers)
  // Rounding of prefix sums must not exclude a stage: each plan is checked again with exact sums.
  const slackMs = chain.scaleMs * 1e-13
  const peaks = new SlidingMaximum(chain.activationBytes)
  const fits = (begin: number, layer: number) =>
    !forbidden?.[layer] &&
    runner.prefixMs[layer + 1]! - runner.prefixMs[begin]! <= maxMs + slackMs &&
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

/** Reach to the end from every boundary. The same array for every stage of the same model, so that windows are shared. */
function unlimited(layers: number): Int32Array {
  if (free.layers !== layers) {
    free.layers = layers
    free.reach = new Int32Array(layers + 1).fill(layers)
  }
  return free.reach
}
