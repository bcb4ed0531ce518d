/**
 * The best plans of a space. Routes wait in a queue by a lower bound on their plans: at first a quick bound, then, at
 * their turn, the exact one. The search ends at the first route whose bound the plans found beat. route-search.ts
 * searches within a route.
 */
import { ROUNDING } from '../limits/search-limits.ts'
import type { Criterion } from '../objective/objectives.ts'
import type { Runner } from './chain.ts'
import { type Collector, FirstFound } from './collectors.ts'
import { Heap } from './heap.ts'
import { codecsAt, type Route, type RouteStop } from './hops.ts'
import { type Candidate, latencyConstant } from './route-costs.ts'
import { type Clock, largestWeight, routeKey, RouteSearch } from './route-search.ts'
import type { SearchSpace } from './search-space.ts'

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

export function search(
  space: SearchSpace,
  criteria: readonly Criterion[],
  collector: Collector,
  clock: Clock,
): Found {
  if (collector instanceof FirstFound) return searchFirst(space, criteria, collector, clock)
  const queue = new Heap<Waiting>((a, b) => a.bound < b.bound)
  for (const route of routesOf(space))
    queue.push({ bound: quickBound(space, route, criteria[0]!), route, exact: false, search: undefined })
  let kept = 0
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { bound, route, exact } = next
    collector.begin(routeKey(route))
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

/** For latency, the minimum of every hop by itself. For other criteria the exact bound is the first one. */
function quickBound(space: SearchSpace, route: Route, { metric, bottleneck }: Criterion): number {
  if (metric === undefined || bottleneck > 0 || metric.weights.latency !== 1) return -Infinity
  if (Object.keys(metric.weights).length > 1) return -Infinity
  const { stops } = route
  let bound = latencyConstant(route, space.chain.layers)
  for (let at = 1; at < stops.length; at += 1)
    bound += space.hopOf(stops[at - 1]!, stops[at]!.runner!).minLatencyMs
  return bound
}

/** Takes routes in any order: for one plan, computing and sorting bounds costs more than it saves. */
function searchFirst(
  space: SearchSpace,
  criteria: readonly Criterion[],
  collector: FirstFound,
  clock: Clock,
): Found {
  for (const route of routesOf(space)) {
    if (!new RouteSearch(space, route, criteria).run(collector, clock)) return { candidates: [], bound: 0 }
    if (collector.done) break
  }
  return { candidates: collector.results() }
}

/** Per criterion, the most by which rounding separates a bound from the cost: prefix sums of long models cancel out. */
export function slackOf(space: SearchSpace, criteria: readonly Criterion[]): number[] {
  const { scaleMs } = space.chain
  return criteria.map(({ metric, bottleneck }) => {
    const { latency = 0, energy = 0, price = 0 } = metric?.weights ?? {}
    const perMs =
      latency +
      bottleneck +
      energy * largestWeight(space, { kind: 'energy' }) +
      price * largestWeight(space, { kind: 'price' })
    return scaleMs * perMs * ROUNDING
  })
}

/** Every route that the limits on tiers, resources and the number of stages allow. */
function* routesOf(space: SearchSpace): Generator<Route> {
  const { chain, limits } = space
  const source = chain.resources[chain.source]!
  // No tier before the source's can run a stage.
  if (limits.required.some((needed, rank) => needed && rank < source.rank)) return
  if (limits.usable[chain.source])
    for (const runner of source.runners) yield* onwards(space, [space.stopOf(runner)], [runner])
  if (limits.firstLayers > 0 || limits.required[source.rank]) return
  yield* next(space, [space.idleSource], [])
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
      yield* onwards(space, [...stops, space.stopOf(runner)], [...runners, runner])
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
  // ways[c]: number of ways to place the hops from here on, the first of them at cut c or later.
  let ways = new Float64Array(cuts.length + 1).fill(1)
  for (let hop = hops - 1; hop >= hops - cutHops; hop -= 1) {
    const more = new Float64Array(cuts.length + 1)
    for (let c = cuts.length - 1; c >= 0; c -= 1)
      more[c] =
        more[c + 1]! + codecsAt(chain, limits, stops[hop]!, stops[hop + 1]!.runner!, cuts[c]!) * ways[c + 1]!
    ways = more
  }
  return atInput * ways[0]!
}

/** Binomial coefficient n over k. */
function choose(n: number, k: number): number {
  let ways = 1
  for (let i = 0; i < k; i += 1) ways = (ways * (n - i)) / (i + 1)
  return Math.round(ways)
}
