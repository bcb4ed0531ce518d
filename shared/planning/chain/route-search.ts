/**
 * All plans of one route, by depth-first branch and bound over its hops with exact bounds on the rest:
 *
 *   rest[hop][option] = term[hop][option] + min of rest[hop + 1] over the options of the next hop within reach
 *
 * Sliding-window minima make that O(options) per hop. The bound of a criterion is attained by a plan, unless stages dip or
 * limits depend on both ends of a stage. So without limits on sums the search enters no branch without an answer. Each
 * limited sum is bounded in the same way, by itself.
 */
import { ROUNDING, upTo } from '../limits/constraints.ts'
import type { Criterion, Metric } from '../objective/objectives.ts'
import type { Collector } from './collectors.ts'
import {
  candidateOf,
  largestWeight,
  latencyConstant,
  limitOf,
  metricOf,
  type RouteTerms,
  termsOf,
  totalsOf,
} from './route-costs.ts'
import { type Hop, type Route, type SearchSpace, stageMs, type Windows } from './search-space.ts'

/** A metric's terms with the bounds on their rest, and the sum along the current branch. */
interface BoundedTerms extends RouteTerms {
  /** Per hop, per option: minimum of the terms from there on. */
  rest: Float64Array[]
  /** Per hop: the constant and the terms of the options taken before it. */
  spent: Float64Array
}

/** Called now and then; true if the search must stop. */
export type Clock = () => boolean

export class RouteSearch {
  readonly route: Route
  /** No plan of the route has a first criterion below this; Infinity if the route has no plan. */
  readonly bound: number
  readonly #space: SearchSpace
  readonly #criteria: readonly Criterion[]
  readonly #hops: Hop[]
  readonly #windows: Windows[]
  readonly #first: [low: number, high: number]
  readonly #sums: (BoundedTerms | undefined)[]
  readonly #limited: { sum: BoundedTerms; limit: number }[]
  /** Per hop, per option: lower bound on the slowest step from there on. Only if a criterion counts it. */
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
    // Filled in `run`: a route that its criteria exclude never needs them.
    this.#limited = []
  }

  /**
   * Offers the collector every plan that it does not exclude by its limit.
   * @param collector has begun with this route. @returns false if the clock stopped it.
   */
  run(collector: Collector, clock: Clock): boolean {
    this.#prepareLimits()
    if (this.#hops.length === 0) {
      this.#leaf(collector)
      return true
    }
    return this.#walkFirst(collector, clock)
  }

  /** The first hop's options, smallest bound first: good plans found early prune the rest. */
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
    for (const { sum } of this.#limited) sum.spent[hop + 1] = sum.spent[hop]! + sum.terms[hop]![option]!
    if (this.#slowest) {
      const work = this.#workBefore(hop, option)
      const step = this.#hops[hop]!.stepMs(option)
      this.#stepsMs[hop + 1] = Math.max(this.#stepsMs[hop]!, work, step)
    }
  }

  #fits(hop: number, option: number): boolean {
    for (const { sum, limit } of this.#limited)
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

  /** ms of work of the stop before a hop: decoding, stage and encoding. */
  #workBefore(hop: number, option: number): number {
    const { runner, fixedMs } = this.route.stops[hop]!
    const departure = this.#hops[hop]!
    const work = departure.encodeMs(option)
    if (!runner) return work + fixedMs
    const arrival = hop > 0 ? this.#hops[hop - 1]! : undefined
    const before = hop > 0 ? this.#options[hop - 1]! : 0
    const from = arrival ? arrival.boundary[before]! : 0
    return (
      work + (arrival ? arrival.decodeMs(before) : 0) + stageMs(runner, from, departure.boundary[option]!)
    )
  }

  #leaf(collector: Collector): void {
    const values = totalsOf(this.#space, this.route, this.#hops, this.#options)
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
    const work = stageMs(this.route.runners[0]!, 0, this.#space.chain.layers)
    return (this.#sums[0]?.constant ?? 0) + bottleneck * work
  }

  /** Options of the first hop. Without hops: [0, 1) if the source may run everything, else [0, 0). */
  #firstWindow(): [number, number] {
    const { runner, resource, fixedMs } = this.route.stops[0]!
    const { limits, chain } = this.#space
    const first = this.#hops[0]
    const reach = runner ? this.#space.reachOf(runner)[0]! : 0
    if (!first) return [0, Number(reach === chain.layers)]
    if (!runner)
      return [0, fixedMs <= upTo(Math.min(limits.maxStageMs[resource]!, limits.maxStepMs)) ? first.count : 0]
    return [firstAbove(first, limits.firstLayers - 1), firstAbove(first, reach)]
  }

  #sumOf(metric: Metric): BoundedTerms {
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
      // Without limits on the last stage the rest is the term itself.
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

  /** Whether the last stage may begin at every option: reach never falls, so the first option decides. */
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
   * Minimum over the next hop's options of the larger of two times: the stage until there, and the slowest step after. The
   * stage grows with the option and the minimum of the rest falls, so a binary search finds where they cross.
   */
  #slowestAfter(at: number, option: number, rest: RangeMinima): number {
    const hop = this.#hops[at]!
    const { boundary } = this.#hops[at + 1]!
    const first = this.#windows[at]!.low[option]!
    const end = this.#windows[at]!.high[option]!
    const { prefixMs, minExtraMs } = hop.to
    const begin = hop.decodeMs(option) + minExtraMs - prefixMs[hop.boundary[option]!]!
    let low = first
    let high = end
    while (low < high) {
      const middle = (low + high) >> 1
      if (begin + prefixMs[boundary[middle]!]! >= rest.minimum(first, middle + 1)) high = middle
      else low = middle + 1
    }
    const crossing = low < end ? begin + prefixMs[boundary[low]!]! : Infinity
    return Math.min(crossing, rest.minimum(first, low))
  }

  #prepareLimits(): void {
    const { limits, chain } = this.#space
    const dips = this.route.runners.some((runner) => runner.dips)
    for (const sumLimit of limits.sumLimits) {
      // A stage cut off at 0 takes longer than the terms say, and longer stages elsewhere lower a share.
      if (sumLimit.kind === 'share' && dips) continue
      const sum = this.#sumOf(metricOf(sumLimit))
      const weight =
        sumLimit.kind === 'latency' || sumLimit.kind === 'share' ? 1 : largestWeight(this.#space, sumLimit)
      this.#limited.push({ sum, limit: upTo(limitOf(sumLimit)) + chain.scaleMs * 1e-12 * weight })
    }
  }
}

/**
 * A quick lower bound on the first criterion of a route: for latency the minimum of every hop by itself, for other criteria
 * none.
 */
export function quickBound(space: SearchSpace, route: Route, { metric, bottleneck }: Criterion): number {
  if (metric === undefined || bottleneck > 0 || metric.weights.latency !== 1) return -Infinity
  if (Object.keys(metric.weights).length > 1) return -Infinity
  const { stops } = route
  let bound = latencyConstant(route, space.chain.layers)
  for (let at = 1; at < stops.length; at += 1)
    bound += space.hopOf(stops[at - 1]!, stops[at]!.runner!).minLatencyMs
  return bound
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

/** The hops of a route, first to last. */
function hopsOf(space: SearchSpace, { stops }: Route): Hop[] {
  return stops.slice(1).map(({ runner }, at) => space.hopOf(stops[at]!, runner!))
}

/** Index of the first option at a later boundary. */
function firstAbove(hop: Hop, boundary: number): number {
  let at = 0
  while (at < hop.count && hop.boundary[at]! <= boundary) at += 1
  return at
}

/**
 * Per window the minimum; Infinity if the window is empty. O(values + windows) by a monotonic queue.
 * @param low @param high windows [low[w], high[w]); neither bound ever falls.
 */
function windowMinima(
  values: Float64Array,
  low: Int32Array,
  high: Int32Array,
  windows: number,
): Float64Array {
  const minima = new Float64Array(windows)
  const queue = new Int32Array(values.length)
  let head = 0
  let tail = 0
  let next = 0
  for (let window = 0; window < windows; window += 1) {
    for (; next < high[window]!; next += 1) {
      const value = values[next]!
      while (tail > head && values[queue[tail - 1]!]! >= value) tail -= 1
      queue[tail] = next
      tail += 1
    }
    while (head < tail && queue[head]! < low[window]!) head += 1
    minima[window] = head < tail ? values[queue[head]!]! : Infinity
  }
  return minima
}

/** Minima of arbitrary ranges: a sparse table, O(n log n) to make, O(1) per query. */
class RangeMinima {
  readonly #tables: Float64Array[]

  constructor(values: Float64Array) {
    this.#tables = [values]
    for (let half = 1; 2 * half <= values.length; half *= 2) {
      const before = this.#tables.at(-1)!
      const table = new Float64Array(values.length - 2 * half + 1)
      for (let at = 0; at < table.length; at += 1) table[at] = Math.min(before[at]!, before[at + half]!)
      this.#tables.push(table)
    }
  }

  /** Minimum of [low, high); Infinity if that is empty. */
  minimum(low: number, high: number): number {
    if (low >= high) return Infinity
    const level = 31 - Math.clz32(high - low)
    const table = this.#tables[level]!
    return Math.min(table[low]!, table[high - (1 << level)]!)
  }
}
