/** What one search looks through: a chain under demands, with what is worked out on first use. */
import type { Chain } from './chain.ts'
import type { Demands } from './demands.ts'
import { type HopsByPair, type HopTable, hopTableOf } from './hop-table.ts'
import { type Hop, hopOf, type Place } from './hops.ts'
import type { Figures } from './problem.ts'
import { reachOf } from './reach.ts'
import type { Unit } from './unit.ts'

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
