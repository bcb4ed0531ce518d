/**
 * The best plans of a space. Routes wait in a queue by a lower bound on their plans: at first a quick bound, then, at
 * their turn, the exact one. The search ends at the first route whose bound the plans found beat. route-search.ts
 * searches within a route.
 */
import TinyQueue from 'tinyqueue'
import type { Criterion } from '../objective/objectives.ts'
import type { RouteStop, Runner } from './chain.ts'
import {
  type Candidate,
  type Collector,
  FirstFound,
  ParetoFront,
  TopK,
  TopKPerResources,
} from './collectors.ts'
import { type Clock, quickBound, RouteSearch, slackOf } from './route-search.ts'
import { codecsAt, type Route, type SearchSpace } from './search-space.ts'

export interface Found {
  /** In the collector's order. */
  candidates: Candidate[]
  /** Set if the clock stopped the search: no plan has a first criterion below this. */
  bound?: number
}

interface Waiting {
  bound: number
  route: Route
  /** True if the bound is the route's exact bound. */
  exact: boolean
  search: RouteSearch | undefined
}

/** Route searches kept between bound and turn; those of further routes are built again, to limit memory. */
const MAX_KEPT_SEARCHES = 1000

/** Plans to find: the best few, the best per set of resources, one of any cost, or all that no other dominates. */
export type Wanted = { top: number; distinct?: 'plans' | 'resources' | undefined } | 'any' | 'front'

export function search(
  space: SearchSpace,
  criteria: readonly Criterion[],
  wanted: Wanted,
  clock: Clock,
): Found {
  if (wanted === 'any') return searchAny(space, criteria, clock)
  const collector = collectorOf(space, criteria, wanted)
  const queue = new TinyQueue<Waiting>([], (a, b) => (a.bound < b.bound ? -1 : 1))
  for (const route of routesOf(space))
    queue.push({ bound: quickBound(space, route, criteria[0]!), route, exact: false, search: undefined })
  let kept = 0
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { bound, route, exact } = next
    collector.begin(resourcesOf(route))
    if (bound > collector.limit || bound === Infinity) continue
    if (clock()) return { candidates: collector.results(), bound }
    const search = next.search ?? new RouteSearch(space, route, criteria)
    if (!exact) {
      queue.push({
        bound: search.bound,
        route,
        exact: true,
        search: kept < MAX_KEPT_SEARCHES ? search : undefined,
      })
      kept += 1
    } else if (!search.run(collector, clock)) return { candidates: collector.results(), bound }
  }
  return { candidates: collector.results() }
}

/** Takes routes in any order: for one plan, computing and sorting bounds costs more than it saves. */
function searchAny(space: SearchSpace, criteria: readonly Criterion[], clock: Clock): Found {
  const collector = new FirstFound()
  for (const route of routesOf(space)) {
    const search = new RouteSearch(space, route, criteria)
    if (search.bound === Infinity) continue
    if (!search.run(collector, clock)) return { candidates: [], bound: 0 }
    if (collector.done) break
  }
  return { candidates: collector.results() }
}

function collectorOf(
  space: SearchSpace,
  criteria: readonly Criterion[],
  wanted: Exclude<Wanted, 'any'>,
): Collector {
  if (wanted === 'front') return new ParetoFront()
  const slack = slackOf(space, criteria)
  return wanted.distinct === 'resources'
    ? new TopKPerResources(wanted.top, slack)
    : new TopK(wanted.top, slack)
}

/** Names the set of resources that run a stage on the route. */
function resourcesOf({ runners }: Route): string {
  return runners.map((runner) => runner.resource).join(',')
}

/** Every route that the limits on tiers, resources and the number of stages allow. */
function* routesOf(space: SearchSpace): Generator<Route> {
  const { chain, limits } = space
  const source = chain.resources[chain.source]!
  // No tier before the source's can run a stage.
  if (limits.required.some((needed, rank) => needed && rank < source.rank)) return
  if (limits.usable[chain.source])
    for (const runner of source.runners) yield* onwards(space, [runner.stop], [runner])
  if (limits.firstLayers > 0 || limits.required[source.rank]) return
  yield* next(space, [chain.idleSource], [])
}

/** The route that ends here, and all its extensions. */
function* onwards(
  space: SearchSpace,
  stops: readonly RouteStop[],
  runners: readonly Runner[],
): Generator<Route> {
  const { limits, chain } = space
  const rank = chain.resources[stops.at(-1)!.resource]!.rank
  const mayEnd = !limits.required.some((needed, other) => needed && other > rank)
  if (mayEnd && runners.length >= limits.minStages && runners.length <= limits.maxStages)
    yield { stops, runners }
  if (runners.length < limits.maxStages) yield* next(space, stops, runners)
}

function* next(
  space: SearchSpace,
  stops: readonly RouteStop[],
  runners: readonly Runner[],
): Generator<Route> {
  const { chain, limits } = space
  const from = stops.at(-1)!.resource
  const { rank } = chain.resources[from]!
  for (const [to, resource] of chain.resources.entries()) {
    if (resource.rank <= rank || !limits.usable[to]) continue
    if (chain.hopMs[from * chain.resources.length + to] === Infinity) continue
    if (limits.required.some((needed, other) => needed && other > rank && other < resource.rank)) continue
    for (const runner of resource.runners)
      yield* onwards(space, [...stops, runner.stop], [...runners, runner])
  }
}

/** Number of plans of all routes, limits on costs and layers aside; exact below 2^53. */
export function planCount(space: SearchSpace): number {
  const cuts = space.cuts.filter((k) => k >= space.limits.firstLayers)
  let count = 0
  for (const route of routesOf(space)) count += plansOn(space, route, cuts)
  return count
}

function plansOn({ chain, limits }: SearchSpace, { stops }: Route, cuts: Int32Array): number {
  const idle = stops[0]?.runner === undefined
  const hops = stops.length - 1
  const cutHops = idle ? hops - 1 : hops
  const atInput = idle ? codecsAt(chain, limits, stops[0]!, stops[1]!.runner!, 0) : 1
  if (chain.codecs.length === 1) return choose(cuts.length, cutHops)
  // placed[c]: in how many ways the hops from here on can be placed, the first of them at cut c or later.
  let placed = new Float64Array(cuts.length + 1).fill(1)
  for (let hop = hops - 1; hop >= hops - cutHops; hop -= 1) {
    const more = new Float64Array(cuts.length + 1)
    for (let c = cuts.length - 1; c >= 0; c -= 1)
      more[c] =
        more[c + 1]! +
        codecsAt(chain, limits, stops[hop]!, stops[hop + 1]!.runner!, cuts[c]!) * placed[c + 1]!
    placed = more
  }
  return atInput * placed[0]!
}

/** Binomial coefficient n over k. */
function choose(n: number, k: number): number {
  let result = 1
  for (let i = 0; i < k; i += 1) result = (result * (n - i)) / (i + 1)
  return Math.round(result)
}
