/** What one search looks through: a chain under demands, with what is worked out on first use. */
import type { Chain } from './compile-chain.ts'
import type { Demands } from '../limits/search-limits.ts'
import { type HopsByPair, type HopTable, hopTableOf } from './hop-table.ts'
import { type Hop, hopOf, type Place } from './hops.ts'
import type { Figures } from '../problem/problem.ts'
import { reachOf } from './reach.ts'
import type { Unit } from './chain.ts'

/** Per resource of the chain; zero where nothing is given. */
export interface ChainFigures {
  busyWatts: Float64Array
  idleWatts: Float64Array
  transmitWatts: Float64Array
  pricePerSecond: Float64Array
  pricePerGb: Float64Array
}

export function figuresOf(chain: Chain, given: Figures): ChainFigures {
  const byResource = (record: Readonly<Record<string, number>> = {}) =>
    Float64Array.from(chain.resources, ({ name }) => (Object.hasOwn(record, name) ? record[name]! : 0))
  return {
    busyWatts: byResource(given.busyWatts),
    idleWatts: byResource(given.idleWatts),
    transmitWatts: byResource(given.transmitWatts),
    pricePerSecond: byResource(given.pricePerSecond),
    pricePerGb: byResource(given.pricePerGb),
  }
}

const AT_INPUT = Int32Array.of(0)

/** Options [low, high) of a hop that follow an option of the hop before. */
export interface Windows {
  low: Int32Array
  high: Int32Array
}

export class SearchSpace {
  readonly chain: Chain
  readonly demands: Demands
  readonly figures: ChainFigures
  /** Boundaries where the model may be cut, whatever must run on the source. */
  readonly cuts: Int32Array
  /** The source when it runs nothing. */
  readonly idleSource: Place
  readonly #table: HopTable
  readonly #reach = new Map<Unit, Int32Array>()
  /** Hops that limits leave as they are, and those that only this search has. */
  readonly #common: HopsByPair
  readonly #own: HopsByPair = new Map()
  /** By the boundaries of the hop before, those of the hop after, and how far a stage between may reach. */
  readonly #windows = new Map<Int32Array, Map<Int32Array, Map<Int32Array, Windows>>>()

  constructor(chain: Chain, demands: Demands, figures: ChainFigures) {
    this.chain = chain
    this.demands = demands
    this.figures = figures
    this.#table = hopTableOf(chain)
    this.idleSource = this.#table.idleSource
    const { cuts, hops } = this.#table.hopsFor(demands)
    this.cuts = cuts
    this.#common = hops
  }

  placeOf(unit: Unit): Place {
    return this.#table.placeOf(unit)
  }

  /** Per boundary where a stage begins, the last where it may end. */
  reachOf(unit: Unit): Int32Array {
    let reach = this.#reach.get(unit)
    if (!reach) {
      reach = reachOf(this.chain, this.demands, unit)
      this.#reach.set(unit, reach)
    }
    return reach
  }

  /** Which options of a hop may follow which of the hop before. */
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

  hopOf(from: Place, to: Unit): Hop {
    const { maxStepMs, maxUploadBytes } = this.demands
    const limited = maxStepMs < Infinity || maxUploadBytes[from.resource]! < Infinity
    const hops = limited ? this.#own : this.#common
    let byUnit = hops.get(from)
    if (!byUnit) hops.set(from, (byUnit = new Map()))
    let hop = byUnit.get(to)
    if (!hop) {
      hop = hopOf(this.chain, this.demands, from, to, from.unit ? this.cuts : AT_INPUT)
      byUnit.set(to, hop)
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
