/**
 * The best plans of a space. Routes (which units, in which order) wait in a queue by a bound on their plans: at first a
 * quick one, then, when their turn comes, the exact one. The first whose bound the plans found beat ends the search.
 * Within a route: route-search.ts.
 */
import type { Candidate } from './route-costs.ts'
import { Any, type Collector } from './collectors.ts'
import { ROUNDING } from '../limits/search-limits.ts'
import { Heap } from './heap.ts'
import { latencyConstant } from './metrics.ts'
import type { Criterion } from '../objective/objectives.ts'
import { type Clock, largestWeight, RouteSearch } from './route-search.ts'
import { type Route, resourcesOf, routesOf } from './routes.ts'
import type { SearchSpace } from './search-space.ts'

export { ROUNDING }

export interface Found {
  /** In the collector's order. */
  candidates: Candidate[]
  /** Set when the clock stopped the search: no plan has a first criterion below this. */
  bound?: number
}

interface Waiting {
  bound: number
  route: Route
  /** True when the bound is the route's exact one. */
  exact: boolean
  search: RouteSearch | undefined
}

/** Searches of more routes than this are made again when their turn comes, so that they need not all be kept. */
const MOST_KEPT = 1000

export function search(
  space: SearchSpace,
  criteria: readonly Criterion[],
  collector: Collector,
  clock: Clock,
): Found {
  if (collector instanceof Any) return searchAny(space, criteria, collector, clock)
  const queue = new Heap<Waiting>((a, b) => a.bound < b.bound)
  for (const route of routesOf(space))
    queue.push({ bound: quickBound(space, route, criteria[0]!), route, exact: false, search: undefined })
  let kept = 0
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { bound, route, exact } = next
    collector.begin(resourcesOf(route).join(','))
    if (bound > collector.limit || bound === Infinity) continue
    if (clock()) return { candidates: collector.results(), bound }
    const search = next.search ?? new RouteSearch(space, route, criteria)
    if (!exact) {
      queue.push({ bound: search.bound, route, exact: true, search: kept < MOST_KEPT ? search : undefined })
      kept += 1
    } else if (!search.run(collector, clock)) return { candidates: collector.results(), bound }
  }
  return { candidates: collector.results() }
}

/** For latency: every hop at its best, whether or not they go together. Other criteria go straight to the exact bound. */
function quickBound(space: SearchSpace, route: Route, { metric, bottleneck }: Criterion): number {
  if (metric === undefined || bottleneck > 0 || metric.weights.latency !== 1) return -Infinity
  if (Object.keys(metric.weights).length > 1) return -Infinity
  const { places } = route
  let bound = latencyConstant(route, space.chain.layers)
  for (let at = 1; at < places.length; at += 1)
    bound += space.hopOf(places[at - 1]!, places[at]!.unit!).leastLatencyMs
  return bound
}

/** Whatever comes first: bounds and their order would cost more than they spare. */
function searchAny(space: SearchSpace, criteria: readonly Criterion[], collector: Any, clock: Clock): Found {
  for (const route of routesOf(space)) {
    if (!new RouteSearch(space, route, criteria).run(collector, clock)) return { candidates: [], bound: 0 }
    if (collector.done) break
  }
  return { candidates: collector.results() }
}

/** Per criterion, how far rounding may take a bound from the cost: prefix sums of long models cancel out. */
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
