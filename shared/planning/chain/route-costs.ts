/**
 * Costs of the plans of a route: as a constant and one term per hop, which the search adds up and bounds, and exactly for
 * one plan. On a given route a metric is
 *
 *   Σ stops (compute·c + coding·w + sending·s + wire bytes·b) + latency·l + loss·x
 *
 * Energy: a resource on the route draws busy watts while it computes or codes, transmit watts while it sends and idle
 * watts for the rest of the request's latency, so c = w = busy − idle, s = transmit − idle and l = Σ idle.
 */
import { type SearchLimits, type SumLimit, upTo } from '../limits/constraints.ts'
import type { Metric, PlanTotals } from '../objective/objectives.ts'
import type { Candidate, CandidateStage } from './collectors.ts'
import { type Hop, type Route, type SearchSpace, stageMs } from './search-space.ts'

/** Per stop of a route, or for the whole route. */
interface Coefficients {
  compute: Float64Array
  coding: Float64Array
  send: Float64Array
  wire: Float64Array
  latency: number
  loss: number
}

export interface RouteTerms {
  constant: number
  /** Per hop, per option. */
  terms: Float64Array[]
}

function isLatency({ weights, share }: Metric): boolean {
  const { latency, bytes = 0, energy = 0, price = 0, loss = 0 } = weights
  return latency === 1 && bytes === 0 && energy === 0 && price === 0 && loss === 0 && share === undefined
}

/** The metric on a route. If stages dip (Runner.dips), it is a lower bound, except for shares. */
export function termsOf(space: SearchSpace, route: Route, hops: readonly Hop[], metric: Metric): RouteTerms {
  if (isLatency(metric))
    return {
      constant: latencyConstant(route, space.chain.layers),
      terms: hops.map((hop) => hop.latencyMs),
    }
  const factors = coefficientsOf(space, route, metric)
  return {
    constant: constantOf(space, route, factors),
    terms: hops.map((hop, at) => hopTerms(hop, at, factors)),
  }
}

/** The part of the latency that no cut changes. */
export function latencyConstant({ stops }: Route, layers: number): number {
  const last = stops.length - 1
  let constant = 0
  for (let at = 0; at <= last; at += 1) {
    const { runner, fixedMs } = stops[at]!
    constant += fixedMs
    if (!runner) continue
    if (at === 0) constant += runner.enterMs[0]!
    if (at === last) constant += runner.prefixMs[layers]! + runner.exitMs[layers]!
  }
  return constant
}

function constantOf(space: SearchSpace, { stops }: Route, { compute, latency }: Coefficients): number {
  const { layers } = space.chain
  const last = stops.length - 1
  let constant = 0
  stops.forEach(({ runner, fixedMs }, at) => {
    const begin = runner && at === 0 ? runner.enterMs[0]! : 0
    const end = runner && at === last ? runner.prefixMs[layers]! + runner.exitMs[layers]! : 0
    constant += (compute[at]! + latency) * (fixedMs + begin + end)
  })
  return constant
}

function hopTerms(hop: Hop, at: number, factors: Coefficients): Float64Array {
  const { compute, coding, send, wire, latency, loss } = factors
  const [c, next, w, decode] = [compute[at]!, compute[at + 1]!, coding[at]!, coding[at + 1]!]
  const [s, b] = [send[at]!, wire[at]!]
  const terms = new Float64Array(hop.count)
  for (let o = 0; o < hop.count; o += 1)
    terms[o] =
      hop.latencyMs[o]! * latency +
      hop.endMs(o) * c +
      hop.beginMs(o) * next +
      hop.encodeMs(o) * w +
      hop.decodeMs(o) * decode +
      hop.sendMs(o) * s +
      hop.wireBytes(o) * b +
      hop.loss(o) * loss
  return terms
}

function coefficientsOf(space: SearchSpace, { stops }: Route, { weights, share }: Metric): Coefficients {
  const { figures, chain } = space
  const zeros = () => new Float64Array(stops.length)
  const { latency = 0, bytes = 0, energy = 0, price = 0, loss = 0 } = weights
  const factors = { compute: zeros(), coding: zeros(), send: zeros(), wire: zeros(), latency, loss }
  stops.forEach(({ resource }, at) => {
    const idle = figures.idleWatts[resource]!
    const busy = energy * (figures.busyWatts[resource]! - idle)
    factors.compute[at] = busy + price * figures.pricePerSecond[resource]! * 1e6
    factors.coding[at] = busy
    factors.send[at] = energy * (figures.transmitWatts[resource]! - idle)
    factors.wire[at] = bytes + price * figures.pricePerGb[resource]!
    factors.latency += energy * idle
    if (share)
      factors.compute[at] =
        factors.compute[at] + Number(chain.resources[resource]!.rank === share.rank) - share.part
  })
  return factors
}

/**
 * Totals of a plan, added up stage by stage; undefined if it breaks a limit. Limits that the search has enforced already
 * are not checked again.
 */
export function totalsOf(
  space: SearchSpace,
  route: Route,
  hops: readonly Hop[],
  options: Int32Array,
): PlanTotals | undefined {
  const { limits, chain, figures } = space
  const { stops } = route
  const tierMs = new Float64Array(chain.tiers.length)
  const maxStepMs = upTo(limits.maxStepMs)
  const totals = { latencyMs: 0, bottleneckMs: 0, bytes: 0, energyMj: 0, priceNano: 0, loss: 0 }
  let computeMs = 0
  let idleWatts = 0
  for (let at = 0; at < stops.length; at += 1) {
    const { runner, resource, fixedMs } = stops[at]!
    const arrival = at > 0 ? hops[at - 1]! : undefined
    const departure = at < hops.length ? hops[at]! : undefined
    const o = departure ? options[at]! : 0
    let codingMs = arrival ? arrival.decodeMs(options[at - 1]!) : 0
    let sendMs = 0
    let stage = fixedMs
    if (runner) {
      const from = arrival ? arrival.boundary[options[at - 1]!]! : 0
      stage = stageMs(runner, from, departure ? departure.boundary[o]! : chain.layers)
    }
    if (stage > upTo(limits.maxStageMs[resource]!)) return undefined
    tierMs[chain.resources[resource]!.rank] = stage
    computeMs += stage
    if (departure) {
      codingMs += departure.encodeMs(o)
      sendMs = departure.sendMs(o)
      totals.latencyMs += departure.stepMs(o)
      totals.bottleneckMs = Math.max(totals.bottleneckMs, departure.stepMs(o))
      totals.bytes += departure.wireBytes(o)
      totals.loss += departure.loss(o)
      totals.priceNano += figures.pricePerGb[resource]! * departure.wireBytes(o)
    }
    const work = stage + codingMs
    if (work > maxStepMs) return undefined
    totals.latencyMs += work
    totals.bottleneckMs = Math.max(totals.bottleneckMs, work)
    const idle = figures.idleWatts[resource]!
    idleWatts += idle
    totals.energyMj +=
      (figures.busyWatts[resource]! - idle) * work + (figures.transmitWatts[resource]! - idle) * sendMs
    totals.priceNano += figures.pricePerSecond[resource]! * stage * 1e6
  }
  totals.energyMj += idleWatts * totals.latencyMs
  return isWithin(limits, totals, tierMs, computeMs) ? totals : undefined
}

function isWithin(
  { sumLimits }: SearchLimits,
  totals: PlanTotals,
  tierMs: Float64Array,
  computeMs: number,
): boolean {
  return sumLimits.every(({ kind, limit, rank }) =>
    kind === 'share'
      ? tierMs[rank]! * 100 <= upTo(limit * computeMs)
      : limitedTotal(totals, kind) <= upTo(limit),
  )
}

/** The limited total, in the unit of the limit. */
function limitedTotal(totals: PlanTotals, kind: Exclude<SumLimit['kind'], 'share'>): number {
  switch (kind) {
    case 'latency':
      return totals.latencyMs
    case 'bytes':
      return totals.bytes
    case 'energy':
      return totals.energyMj / 1000
    case 'price':
      return totals.priceNano / 1e9
    case 'loss':
      return totals.loss
  }
}

export function candidateOf(
  space: SearchSpace,
  route: Route,
  hops: readonly Hop[],
  options: Int32Array,
  totals: PlanTotals,
  criteria: readonly number[],
): Candidate {
  const stages: CandidateStage[] = []
  route.stops.forEach(({ runner }, at) => {
    if (!runner) return
    stages.push({
      resource: runner.resource,
      variant: runner.variant,
      from: at === 0 ? 0 : hops[at - 1]!.boundary[options[at - 1]!]!,
      to: at === hops.length ? space.chain.layers : hops[at]!.boundary[options[at]!]!,
      codec: at === 0 ? 0 : hops[at - 1]!.codec[options[at - 1]!]!,
    })
  })
  return { criteria, totals, stages }
}

/** The metric that adds up a limited sum. */
export function metricOf({ kind, limit, rank }: SumLimit): Metric {
  return kind === 'share' ? { weights: {}, share: { rank, part: limit / 100 } } : { weights: { [kind]: 1 } }
}

/** The limit in the unit of the metric. */
export function limitOf({ kind, limit }: SumLimit): number {
  if (kind === 'share') return 0
  return limit * ({ energy: 1000, price: 1e9 }[kind as string] ?? 1)
}

/** The largest weight of one ms in a sum: rounding errors of times count by so much. */
export function largestWeight({ figures }: SearchSpace, { kind }: Pick<SumLimit, 'kind'>): number {
  const total = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0)
  if (kind === 'energy')
    return total(figures.busyWatts) + total(figures.idleWatts) + total(figures.transmitWatts)
  return kind === 'price' ? total(figures.pricePerSecond) * 1e6 : 0
}
