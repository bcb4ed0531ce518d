/**
 * All plans of one route, by depth-first search over its hops with exact bounds on what follows:
 *
 *   rest[hop][option] = term[hop][option] + min over the options of the next hop that lie in reach of rest[hop + 1]
 *
 * A minimum per window of a queue that only moves forward makes that O(options) per hop. The bound of a criterion is
 * attained by a plan (but where stages dip, or limits depend on both ends of a stage), so without budgets the search
 * enters no branch that does not hold an answer. Budgets are bounded in the same way, each for itself.
 */
import { candidateOf, valuesOf } from './route-costs.ts'
import type { Collector } from './collectors.ts'
import { type Budget, upTo } from '../limits/search-limits.ts'
import type { Hop } from './hops.ts'
import { type Metric, type RouteTerms, termsOf } from './metrics.ts'
import type { Criterion } from '../objective/objectives.ts'
import { resourcesOf, type Route } from './routes.ts'
import type { SearchSpace, Windows } from './search-space.ts'
import { stageMs } from './chain.ts'
import { RangeMinima, windowMinima } from './sliding-window.ts'

/** A metric's terms, what they come to at least from a hop on, and the sum up to the hop being looked at. */
interface Sum extends RouteTerms {
  rest: Float64Array[]
  /** Per hop: the constant and the terms of the options taken before it. */
  spent: Float64Array
}

/** Called now and then; true when the search has to stop. */
export type Clock = () => boolean

export class RouteSearch {
  readonly route: Route
  /** No plan of the route has a first criterion below this; Infinity when it holds none. */
  readonly bound: number
  readonly #space: SearchSpace
  readonly #criteria: readonly Criterion[]
  readonly #hops: Hop[]
  readonly #windows: Windows[]
  readonly #first: [low: number, high: number]
  readonly #sums: (Sum | undefined)[]
  readonly #budgets: { sum: Sum; limit: number }[]
  /** Per hop, per option: the slowest step from there on, at least. Only when a criterion counts it. */
  readonly #slowest: Float64Array[] | undefined
  readonly #options: Int32Array
  /** Per hop: the slowest step before it. */
  readonly #stepsMs: Float64Array
  readonly #bounds: Float64Array

  constructor(space: SearchSpace, route: Route, criteria: readonly Criterion[]) {
    this.#space = space
    this.route = route
    this.#criteria = criteria
    this.#hops = hopsOf(space, route)
    this.#windows = this.#hops.slice(1).map((hop, at) => space.windowsBetween(this.#hops[at]!, hop))
    this.#first = this.#firstWindow()
    this.#sums = criteria.map(({ metric }) => metric && this.#sumOf(metric))
    this.#slowest = criteria.some(({ bottleneck }) => bottleneck > 0) ? this.#slowestSteps() : undefined
    this.#options = new Int32Array(this.#hops.length)
    this.#stepsMs = new Float64Array(this.#hops.length + 1)
    this.#bounds = new Float64Array(criteria.length)
    this.bound = this.#routeBound()
    // Budgets are only worth their arrays where the criteria let the route in.
    this.#budgets = []
  }

  /** Hands every plan to the collector that it does not rule out. @returns false when the clock stopped it. */
  run(collector: Collector, clock: Clock): boolean {
    collector.begin(resourcesOf(this.route).join(','))
    if (this.bound > collector.limit || this.bound === Infinity) return true
    this.#prepareBudgets()
    if (this.#hops.length === 0) {
      this.#leaf(collector)
      return true
    }
    return this.#walkFirst(collector, clock)
  }

  /** The first hop's options, most promising first: good plans found early spare the rest. */
  #walkFirst(collector: Collector, clock: Clock): boolean {
    const [low, high] = this.#first
    const bounds = new Float64Array(high)
    for (let option = low; option < high; option += 1) bounds[option] = this.#firstBound(0, option)
    const order = Array.from({ length: high - low }, (_, at) => low + at)
      .filter((option) => bounds[option]! <= collector.limit && bounds[option]! < Infinity)
      .sort((a, b) => bounds[a]! - bounds[b]!)
    for (const option of order) {
      if (bounds[option]! > collector.limit) break
      if (clock()) return false
      if (!this.#walk(collector, clock, 0, option, option + 1)) return false
      if (collector.done) break
    }
    return true
  }

  #walk(collector: Collector, clock: Clock, hop: number, low: number, high: number): boolean {
    const last = this.#hops.length - 1
    const sum = this.#sums[0]
    const plain = this.#slowest === undefined && sum !== undefined
    const spent = plain ? sum.spent[hop]! : 0
    const rest = plain ? sum.rest[hop]! : undefined
    for (let option = low; option < high; option += 1) {
      const bound = rest ? spent + rest[option]! : this.#firstBound(hop, option)
      if (!(bound <= collector.limit) || bound === Infinity) continue
      if (!this.#fits(hop, option) || this.#isBeaten(collector, hop, option)) continue
      this.#options[hop] = option
      if (hop === last) this.#leaf(collector)
      else {
        this.#take(hop, option)
        const { low: from, high: to } = this.#windows[hop]!
        if (clock()) return false
        if (!this.#walk(collector, clock, hop + 1, from[option]!, to[option]!)) return false
      }
      if (collector.done) return true
    }
    return true
  }

  #take(hop: number, option: number): void {
    for (const sum of this.#sums) if (sum) sum.spent[hop + 1] = sum.spent[hop]! + sum.terms[hop]![option]!
    for (const { sum } of this.#budgets) sum.spent[hop + 1] = sum.spent[hop]! + sum.terms[hop]![option]!
    if (this.#slowest) {
      const work = this.#workBefore(hop, option)
      const step = this.#hops[hop]!.stepMs(option)
      this.#stepsMs[hop + 1] = Math.max(this.#stepsMs[hop]!, work, step)
    }
  }

  #fits(hop: number, option: number): boolean {
    for (const { sum, limit } of this.#budgets)
      if (sum.spent[hop]! + sum.rest[hop]![option]! > limit) return false
    return true
  }

  #isBeaten(collector: Collector, hop: number, option: number): boolean {
    if (this.#criteria.length === 1) return false
    for (let at = 0; at < this.#criteria.length; at += 1)
      this.#bounds[at] = this.#criterionBound(at, hop, option)
    return collector.beaten(this.#bounds)
  }

  #firstBound(hop: number, option: number): number {
    return this.#criterionBound(0, hop, option)
  }

  #criterionBound(at: number, hop: number, option: number): number {
    const sum = this.#sums[at]
    const { bottleneck } = this.#criteria[at]!
    let bound = sum ? sum.spent[hop]! + sum.rest[hop]![option]! : 0
    if (bottleneck > 0)
      bound +=
        bottleneck *
        Math.max(this.#stepsMs[hop]!, this.#workBefore(hop, option), this.#slowest![hop]![option]!)
    return bound
  }

  /** Work of the place before a hop: its decoding, stage and encoding. */
  #workBefore(hop: number, option: number): number {
    const { unit } = this.route.places[hop]!
    const departure = this.#hops[hop]!
    const work = departure.encodeMs(option)
    if (!unit) return work
    const arrival = hop > 0 ? this.#hops[hop - 1]! : undefined
    const before = hop > 0 ? this.#options[hop - 1]! : 0
    const from = arrival ? arrival.boundary[before]! : 0
    return work + (arrival ? arrival.decodeMs(before) : 0) + stageMs(unit, from, departure.boundary[option]!)
  }

  #leaf(collector: Collector): void {
    const values = valuesOf(this.#space, this.route, this.#hops, this.#options)
    if (values === undefined) return
    const criteria = this.#criteria.map((criterion) => criterion.of(values))
    if (criteria[0]! > collector.limit) return
    collector.add(candidateOf(this.#space, this.route, this.#hops, this.#options, values, criteria))
  }

  #routeBound(): number {
    if (this.#hops.length === 0) return this.#onlyStageBound()
    const [low, high] = this.#first
    let least = Infinity
    for (let option = low; option < high; option += 1) least = Math.min(least, this.#firstBound(0, option))
    return least
  }

  /** The source runs everything. */
  #onlyStageBound(): number {
    const [, high] = this.#first
    if (high === 0) return Infinity
    const { bottleneck } = this.#criteria[0]!
    const work = stageMs(this.route.units[0]!, 0, this.#space.chain.layers)
    return (this.#sums[0]?.constant ?? 0) + bottleneck * work
  }

  /** Without hops: [0, 1) when the source may run everything, [0, 0) when it may not. */
  #firstWindow(): [number, number] {
    const { unit } = this.route.places[0]!
    const first = this.#hops[0]
    const reach = unit ? this.#space.reachOf(unit)[0]! : 0
    if (!first) return [0, Number(reach === this.#space.chain.layers)]
    if (!unit) return [0, first.count]
    return [firstAbove(first, this.#space.demands.firstLayers - 1), firstAbove(first, reach)]
  }

  #sumOf(metric: Metric): Sum {
    const terms = termsOf(this.#space, this.route, this.#hops, metric)
    const spent = new Float64Array(this.#hops.length + 1)
    spent[0] = terms.constant
    return { ...terms, spent, rest: this.#restOf(terms.terms) }
  }

  #restOf(terms: readonly Float64Array[]): Float64Array[] {
    const rest: Float64Array[] = []
    for (let hop = this.#hops.length - 1; hop >= 0; hop -= 1) {
      const { count } = this.#hops[hop]!
      const own = terms[hop]!
      const isLast = hop === this.#hops.length - 1
      // Without limits on the last stage nothing but the terms themselves is to come.
      if (isLast && this.#mayAlwaysEnd()) {
        rest[hop] = own
        continue
      }
      const sums = new Float64Array(count)
      if (isLast) {
        for (let option = 0; option < count; option += 1)
          sums[option] = this.#mayEnd(option) ? own[option]! : Infinity
      } else {
        const { low, high } = this.#windows[hop]!
        const least = windowMinima(rest[hop + 1]!, low, high, count)
        for (let option = 0; option < count; option += 1) sums[option] = own[option]! + least[option]!
      }
      rest[hop] = sums
    }
    return rest
  }

  /** Whether the last stage may begin anywhere: reach never falls, so the first option says it of all. */
  #mayAlwaysEnd(): boolean {
    const { count } = this.#hops.at(-1)!
    return count === 0 || this.#mayEnd(0)
  }

  /** Whether the last stage may begin at this option of the last hop. */
  #mayEnd(option: number): boolean {
    const hop = this.#hops.at(-1)!
    return this.#space.reachOf(hop.to)[hop.boundary[option]!] === this.#space.chain.layers
  }

  #slowestSteps(): Float64Array[] {
    const slowest: Float64Array[] = []
    let rest = new RangeMinima(new Float64Array(0))
    for (let at = this.#hops.length - 1; at >= 0; at -= 1) {
      const hop = this.#hops[at]!
      const steps = new Float64Array(hop.count)
      for (let option = 0; option < hop.count; option += 1) {
        const last = at === this.#hops.length - 1
        const after = last ? this.#lastWork(option) : this.#slowestAfter(at, option, rest)
        steps[option] = Math.max(hop.stepMs(option), after)
      }
      slowest[at] = steps
      rest = new RangeMinima(steps)
    }
    return slowest
  }

  #lastWork(option: number): number {
    const hop = this.#hops.at(-1)!
    if (!this.#mayEnd(option)) return Infinity
    return hop.decodeMs(option) + stageMs(hop.to, hop.boundary[option]!, this.#space.chain.layers)
  }

  /**
   * The least, over the next hop's options, of the larger of the stage until there and what follows. The stage only
   * gets longer, the least of what follows only falls: where they cross is the answer.
   */
  #slowestAfter(at: number, option: number, rest: RangeMinima): number {
    const hop = this.#hops[at]!
    const { boundary } = this.#hops[at + 1]!
    const first = this.#windows[at]!.low[option]!
    const end = this.#windows[at]!.high[option]!
    const { prefixMs, leastExtraMs } = hop.to
    const begin = hop.decodeMs(option) + leastExtraMs - prefixMs[hop.boundary[option]!]!
    let low = first
    let high = end
    while (low < high) {
      const middle = (low + high) >> 1
      if (begin + prefixMs[boundary[middle]!]! >= rest.least(first, middle + 1)) high = middle
      else low = middle + 1
    }
    const crossing = low < end ? begin + prefixMs[boundary[low]!]! : Infinity
    return Math.min(crossing, rest.least(first, low))
  }

  #prepareBudgets(): void {
    const { demands, chain } = this.#space
    const dips = this.route.units.some((unit) => unit.dips)
    for (const budget of demands.budgets) {
      // A stage that is cut off at 0 takes more than the sums say, and more compute elsewhere lowers a share.
      if (budget.kind === 'share' && dips) continue
      const sum = this.#sumOf(metricOf(budget))
      const weight =
        budget.kind === 'latency' || budget.kind === 'share' ? 1 : largestWeight(this.#space, budget)
      this.#budgets.push({ sum, limit: upTo(limitOf(budget)) + chain.scaleMs * 1e-12 * weight })
    }
  }
}

/** The handovers of a route, first to last. */
export function hopsOf(space: SearchSpace, { places }: Route): Hop[] {
  return places.slice(1).map(({ unit }, at) => space.hopOf(places[at]!, unit!))
}

/** Index of the first option at a later boundary. */
function firstAbove(hop: Hop, boundary: number): number {
  let at = 0
  while (at < hop.count && hop.boundary[at]! <= boundary) at += 1
  return at
}

function metricOf({ kind, limit, rank }: Budget): Metric {
  return kind === 'share' ? { weights: {}, share: { rank, part: limit / 100 } } : { weights: { [kind]: 1 } }
}

/** In the metric's unit. */
function limitOf({ kind, limit }: Budget): number {
  if (kind === 'share') return 0
  return limit * ({ energy: 1000, price: 1e9 }[kind as string] ?? 1)
}

/** What one ms counts at most: how far rounding of times may take the sum. */
export function largestWeight({ figures }: SearchSpace, { kind }: Pick<Budget, 'kind'>): number {
  const most = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0)
  if (kind === 'energy')
    return most(figures.busyWatts) + most(figures.idleWatts) + most(figures.transmitWatts)
  return kind === 'price' ? most(figures.pricePerSecond) * 1e6 : 0
}
