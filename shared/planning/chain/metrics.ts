/**
 * Sums over a plan that the search adds up and bounds: latency, bytes, energy, price, loss, a tier's share of the
 * compute time, and weighted sums of them. On a given route each is a constant and one term per hop:
 *
 *   Σ places (compute·c + coding·w + sending·s + wire bytes·b) + latency·l + loss·x
 *
 * Energy: a resource on the path draws busy watts while it computes or codes, transmit watts while it sends and idle
 * watts for the rest of the request's latency, so c = w = busy − idle, s = transmit − idle and l = Σ idle.
 */
import type { BudgetKind } from '../limits/search-limits.ts'
import type { Hop } from './hops.ts'
import type { Route } from './routes.ts'
import type { SearchSpace } from './search-space.ts'

/** Energy in W·ms (mJ), price in units of 10⁻⁹, share as compute on the tier less the share of all compute, ms. */
export type MetricKind = Exclude<BudgetKind, 'share'>

export interface Metric {
  weights: Partial<Record<MetricKind, number>>
  /** Ms of compute on the tier `rank` less `part` of all compute. */
  share?: { rank: number; part: number }
}

/** Per place of a route, or for the whole of it. */
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

/** The metric on a route. Where stages dip (Unit.dips) it is a lower bound, but for shares. */
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
export function latencyConstant({ places }: Route, layers: number): number {
  const last = places.length - 1
  let constant = 0
  for (let at = 0; at <= last; at += 1) {
    const { unit } = places[at]!
    if (!unit) continue
    constant += unit.fixedMs
    if (at === 0) constant += unit.enterMs[0]!
    if (at === last) constant += unit.prefixMs[layers]! + unit.exitMs[layers]!
  }
  return constant
}

function constantOf(space: SearchSpace, { places }: Route, { compute, latency }: Coefficients): number {
  const { layers } = space.chain
  const last = places.length - 1
  let constant = 0
  places.forEach(({ unit }, at) => {
    if (!unit) return
    const begin = at === 0 ? unit.enterMs[0]! : 0
    const end = at === last ? unit.prefixMs[layers]! + unit.exitMs[layers]! : 0
    constant += (compute[at]! + latency) * (unit.fixedMs + begin + end)
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

function coefficientsOf(space: SearchSpace, { places }: Route, { weights, share }: Metric): Coefficients {
  const { figures, chain } = space
  const zeros = () => new Float64Array(places.length)
  const { latency = 0, bytes = 0, energy = 0, price = 0, loss = 0 } = weights
  const factors = { compute: zeros(), coding: zeros(), send: zeros(), wire: zeros(), latency, loss }
  places.forEach(({ resource }, at) => {
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
