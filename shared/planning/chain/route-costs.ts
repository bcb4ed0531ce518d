/** A plan as the search sees it: a route and the options taken, with what they cost. */
import { type Budget, type Demands, upTo } from '../limits/search-limits.ts'
import type { Hop } from './hops.ts'
import type { Route } from './routes.ts'
import type { SearchSpace } from './search-space.ts'
import { stageMs } from './chain.ts'

export interface Values {
  latencyMs: number
  bottleneckMs: number
  bytes: number
  /** W·ms. */
  energyMj: number
  /** In units of 10⁻⁹. */
  priceNano: number
  loss: number
}

/** What orders plans: the criteria (least first), then fewer stages, earlier resources, cuts, codecs and options. */
export interface Candidate {
  criteria: readonly number[]
  values: Values
  stages: CandidateStage[]
}

export interface CandidateStage {
  resource: number
  variant: number
  from: number
  to: number
  /** How its input arrives: index of the codec. */
  codec: number
}

/**
 * What the plan costs, stage by stage; undefined when it breaks a limit. Limits that the search has seen to already are
 * not looked at again.
 */
export function valuesOf(
  space: SearchSpace,
  route: Route,
  hops: readonly Hop[],
  options: Int32Array,
): Values | undefined {
  const { demands, chain, figures } = space
  const { places } = route
  const tierMs = new Float64Array(chain.tiers.length)
  const maxStepMs = upTo(demands.maxStepMs)
  const values = { latencyMs: 0, bottleneckMs: 0, bytes: 0, energyMj: 0, priceNano: 0, loss: 0 }
  let computeMs = 0
  let idleWatts = 0
  for (let at = 0; at < places.length; at += 1) {
    const { unit, resource } = places[at]!
    const arrival = at > 0 ? hops[at - 1]! : undefined
    const departure = at < hops.length ? hops[at]! : undefined
    const o = departure ? options[at]! : 0
    let codingMs = arrival ? arrival.decodeMs(options[at - 1]!) : 0
    let sendMs = 0
    let stage = 0
    if (unit) {
      const from = arrival ? arrival.boundary[options[at - 1]!]! : 0
      stage = stageMs(unit, from, departure ? departure.boundary[o]! : chain.layers)
      if (stage > upTo(demands.maxStageMs[resource]!)) return undefined
      tierMs[chain.resources[resource]!.rank] = stage
      computeMs += stage
    }
    if (departure) {
      codingMs += departure.encodeMs(o)
      sendMs = departure.sendMs(o)
      values.latencyMs += departure.stepMs(o)
      values.bottleneckMs = Math.max(values.bottleneckMs, departure.stepMs(o))
      values.bytes += departure.wireBytes(o)
      values.loss += departure.loss(o)
      values.priceNano += figures.pricePerGb[resource]! * departure.wireBytes(o)
    }
    const work = stage + codingMs
    if (work > maxStepMs) return undefined
    values.latencyMs += work
    values.bottleneckMs = Math.max(values.bottleneckMs, work)
    const idle = figures.idleWatts[resource]!
    idleWatts += idle
    values.energyMj +=
      (figures.busyWatts[resource]! - idle) * work + (figures.transmitWatts[resource]! - idle) * sendMs
    values.priceNano += figures.pricePerSecond[resource]! * stage * 1e6
  }
  values.energyMj += idleWatts * values.latencyMs
  return isWithin(demands, values, tierMs, computeMs) ? values : undefined
}

function isWithin({ budgets }: Demands, values: Values, tierMs: Float64Array, computeMs: number): boolean {
  return budgets.every(({ kind, limit, rank }) =>
    kind === 'share'
      ? tierMs[rank]! * 100 <= upTo(limit * computeMs)
      : budgetValue(values, kind) <= upTo(limit),
  )
}

/** In the budget's own unit. */
function budgetValue(values: Values, kind: Exclude<Budget['kind'], 'share'>): number {
  switch (kind) {
    case 'latency':
      return values.latencyMs
    case 'bytes':
      return values.bytes
    case 'energy':
      return values.energyMj / 1000
    case 'price':
      return values.priceNano / 1e9
    case 'loss':
      return values.loss
  }
}

export function candidateOf(
  space: SearchSpace,
  route: Route,
  hops: readonly Hop[],
  options: Int32Array,
  values: Values,
  criteria: readonly number[],
): Candidate {
  const stages: CandidateStage[] = []
  route.places.forEach(({ unit }, at) => {
    if (!unit) return
    stages.push({
      resource: unit.resource,
      variant: unit.variant,
      from: at === 0 ? 0 : hops[at - 1]!.boundary[options[at - 1]!]!,
      to: at === hops.length ? space.chain.layers : hops[at]!.boundary[options[at]!]!,
      codec: at === 0 ? 0 : hops[at - 1]!.codec[options[at - 1]!]!,
    })
  })
  return { criteria, values, stages }
}

const KEYS = ['resource', 'from', 'codec', 'variant'] as const

/** Negative when `a` comes first. */
export function compareCandidates(a: Candidate, b: Candidate): number {
  for (let at = 0; at < a.criteria.length; at += 1)
    if (a.criteria[at] !== b.criteria[at]) return a.criteria[at]! - b.criteria[at]!
  if (a.stages.length !== b.stages.length) return a.stages.length - b.stages.length
  for (const key of KEYS)
    for (let at = 0; at < a.stages.length; at += 1) {
      const difference = a.stages[at]![key] - b.stages[at]![key]
      if (difference !== 0) return difference
    }
  return 0
}
