/** Routes: which units a request passes in which order. Where it is cut between them is the search's business. */
import { codecsAt, type Place } from './hops.ts'
import type { SearchSpace } from './search-space.ts'
import type { Unit } from './chain.ts'

export interface Route {
  /** The source first, even if it runs nothing. */
  places: readonly Place[]
  /** Those that run a stage. */
  units: readonly Unit[]
}

/** Every route that the demands on tiers, resources and the number of stages leave. */
export function* routesOf(space: SearchSpace): Generator<Route> {
  const { chain, demands } = space
  const source = chain.resources[chain.source]!
  // Nothing runs before the source.
  if (demands.required.some((needed, rank) => needed && rank < source.rank)) return
  if (demands.usable[chain.source])
    for (const unit of source.units) yield* onwards(space, [space.placeOf(unit)], [unit])
  if (demands.firstLayers > 0 || demands.required[source.rank]) return
  yield* next(space, [space.idleSource], [])
}

/** The route as it is, and all that go on from it. */
function* onwards(space: SearchSpace, places: readonly Place[], units: readonly Unit[]): Generator<Route> {
  const { demands, chain } = space
  const rank = chain.resources[places.at(-1)!.resource]!.rank
  const mayEnd = !demands.required.some((needed, other) => needed && other > rank)
  if (mayEnd && units.length >= demands.minStages && units.length <= demands.maxStages)
    yield { places, units }
  if (units.length < demands.maxStages) yield* next(space, places, units)
}

function* next(space: SearchSpace, places: readonly Place[], units: readonly Unit[]): Generator<Route> {
  const { chain, demands } = space
  const from = places.at(-1)!.resource
  const { rank } = chain.resources[from]!
  for (const [to, resource] of chain.resources.entries()) {
    if (resource.rank <= rank || !demands.usable[to]) continue
    if (chain.hopMs[from * chain.resources.length + to] === Infinity) continue
    if (demands.required.some((needed, other) => needed && other > rank && other < resource.rank)) continue
    for (const unit of resource.units)
      yield* onwards(space, [...places, space.placeOf(unit)], [...units, unit])
  }
}

/** Indices of the resources that run a stage, in order. */
export function resourcesOf(route: Route): number[] {
  return route.units.map((unit) => unit.resource)
}

/** Number of plans over all routes, whatever they cost; a float, exact while it stays below 2^53. */
export function planCount(space: SearchSpace): number {
  const cuts = space.cuts.filter((k) => k >= space.demands.firstLayers)
  let count = 0
  for (const route of routesOf(space)) count += plansOn(space, route, cuts)
  return count
}

function plansOn({ chain, demands }: SearchSpace, { places }: Route, cuts: Int32Array): number {
  const idle = places[0]?.unit === undefined
  const hops = places.length - 1
  const cutHops = idle ? hops - 1 : hops
  const atInput = idle ? codecsAt(chain, demands, places[0]!, places[1]!.unit!, 0) : 1
  if (chain.codecs.length === 1) return choose(cuts.length, cutHops)
  // ways[c]: ways to place the hops from here on, the first of them at cut c or later.
  let ways = new Float64Array(cuts.length + 1).fill(1)
  for (let hop = hops - 1; hop >= hops - cutHops; hop -= 1) {
    const more = new Float64Array(cuts.length + 1)
    for (let c = cuts.length - 1; c >= 0; c -= 1)
      more[c] =
        more[c + 1]! + codecsAt(chain, demands, places[hop]!, places[hop + 1]!.unit!, cuts[c]!) * ways[c + 1]!
    ways = more
  }
  return atInput * ways[0]!
}

/** Ways to choose k of n in order. */
function choose(n: number, k: number): number {
  let ways = 1
  for (let i = 0; i < k; i += 1) ways = (ways * (n - i)) / (i + 1)
  return Math.round(ways)
}

/** True when there is any route at all for a chain without demands. */
export function hasRoute(space: SearchSpace): boolean {
  return !routesOf(space).next().done
}
