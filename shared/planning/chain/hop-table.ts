/**
 * Hops that many queries have in common, kept with their chain: those that no limit on bytes or steps thins out.
 */
import { NONE } from './chain-codecs.ts'
import type { Chain } from './compile-chain.ts'
import type { Demands } from '../limits/search-limits.ts'
import { cutsOf, type Hop, type Place } from './hops.ts'
import type { Unit } from './chain.ts'

export type HopsByPair = Map<Place, Map<Unit, Hop>>

interface Kept {
  cuts: Int32Array
  hops: HopsByPair
}

/** Kinds of queries (which cuts, which codecs, how much loss) whose hops are kept; the oldest goes first. */
const MOST_KINDS = 2

export class HopTable {
  /** The source when it runs nothing. */
  readonly idleSource: Place
  readonly #chain: Chain
  readonly #places = new Map<Unit, Place>()
  readonly #kinds = new Map<string, Kept>()

  constructor(chain: Chain) {
    this.#chain = chain
    const encodeMsPerByte =
      chain.resources[chain.source]!.units[0]?.encodeMsPerByte ??
      Float64Array.from(chain.codecs, (_, codec) => (codec === NONE ? 0 : NaN))
    this.idleSource = { resource: chain.source, unit: undefined, encodeMsPerByte }
  }

  placeOf(unit: Unit): Place {
    let place = this.#places.get(unit)
    if (!place) {
      place = { resource: unit.resource, unit, encodeMsPerByte: unit.encodeMsPerByte }
      this.#places.set(unit, place)
    }
    return place
  }

  hopsFor({ clean, codecs, maxLoss }: Demands): Kept {
    const key = `${clean} ${codecs.join()} ${maxLoss}`
    let kept = this.#kinds.get(key)
    if (!kept) {
      const [oldest] = this.#kinds.keys()
      if (oldest !== undefined && this.#kinds.size >= MOST_KINDS) this.#kinds.delete(oldest)
      kept = { cuts: cutsOf(this.#chain, clean), hops: new Map() }
      this.#kinds.set(key, kept)
    }
    return kept
  }
}

const tables = new WeakMap<Chain, HopTable>()

export function hopTableOf(chain: Chain): HopTable {
  let table = tables.get(chain)
  if (!table) tables.set(chain, (table = new HopTable(chain)))
  return table
}
