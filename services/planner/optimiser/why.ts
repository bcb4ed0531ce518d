/**
 * One sentence on why the winner wins: what it is up against, what it saves and what that costs. Every number in it is
 * taken from a plan that evaluate.ts priced, and nothing is claimed that those numbers do not show.
 */
import type { Plan } from '../../../shared/contracts/plan.ts'
import type { OptimiserQuery } from './constraints.ts'
import { objectiveOf } from './objectives.ts'

export interface WhyParts {
  query: Pick<OptimiserQuery, 'objective' | 'weights' | 'pareto'>
  winner: Plan
  native: readonly Plan[]
  /** The best plan with two stages or more that satisfies the constraints, when there is one. */
  bestSplit: Plan | undefined
  /** The best plan with one stage that satisfies the constraints, when there is one. */
  bestNative: Plan | undefined
  /** The best plan without the constraints (the cuts stay); absent when it is the winner. */
  unconstrained: Plan | undefined
  /** Described constraints, but for the cuts. */
  constraints: readonly string[]
  /** True when only clean cuts were looked at. */
  cleanCutsOnly: boolean
}

/** Times that differ by less are one time, added up in another order. */
const ROUNDING = 1e-12

/**
 * `cloud alone wins: 12.3 ms against 48 ms on device alone and 20.1 ms for the best split at clean cuts; …`.
 * For throughput the times are those of the slowest step: `12.3 ms per request`. A split whose gain lies inside the
 * uncertainty is advised against. A front is explained by its first plan.
 */
export function whyOf(parts: WhyParts): string {
  const { winner, constraints } = parts
  const query = parts.query.pareto ? { objective: parts.query.pareto[0]! } : parts.query
  const rivals = rivalsOf(query, parts)
  const digits = digitsFor(
    [winner, ...rivals.map((rival) => rival.plan)].map((plan) => objectiveOf(plan, query)),
  )
  const cost = (plan: Plan) => formatObjective(query.objective, objectiveOf(plan, query), digits)
  const list = (some: readonly Rival[]) => listOf(some.map(({ plan, label }) => `${cost(plan)} ${label}`))
  const better = rivals.filter(({ plan }) => isBetter(query, plan, winner))
  const others = rivals.filter(({ plan }) => !isBetter(query, plan, winner))
  const sentence = [
    others.length > 0
      ? `${nameOf(winner)} wins: ${cost(winner)} against ${list(others)}`
      : `${nameOf(winner)} takes ${cost(winner)}`,
    ...(rivals.length === 0 ? ['there is nothing to compare it with'] : []),
    ...(better.length > 0 ? [`the constraints rule out ${list(better)}`] : []),
    ...(query.objective === 'throughput' ? [`its slowest step is ${slowestStepOf(winner)}`] : []),
    ...(query.objective === 'latency'
      ? becauseOf(
          parts,
          others.map(({ plan }) => plan),
        )
      : []),
    ...(query.objective === 'latency' ? doNotSplit(parts) : []),
  ]
  const under = constraints.length > 0 ? `with ${listOf(constraints)}, ` : ''
  return `${under}${sentence.join('; ')}`
}

/**
 * Both predictions are uncertain: half the widths of their intervals, added as independent errors are, bound the
 * difference. What they have in common makes the true bound smaller, so this asks for more than it must.
 */
function doNotSplit({ winner, bestNative }: WhyParts): string[] {
  if (winner.native || !bestNative?.native) return []
  const widths = [winner, bestNative].map(({ interval }) => (interval.highMs - interval.lowMs) / 2)
  const uncertainMs = Math.hypot(...widths)
  const gainMs = bestNative.predictedMs - winner.predictedMs
  if (gainMs >= uncertainMs) return []
  return [
    `do not split: the gain of ${formatMs(Math.max(0, gainMs))} over ${nameOf(bestNative)} lies inside the ` +
      `uncertainty of ${formatMs(uncertainMs)}`,
  ]
}

interface Rival {
  plan: Plan
  label: string
}

type Objective = Pick<OptimiserQuery, 'objective' | 'weights'>

function isBetter(query: Objective, plan: Plan, than: Plan): boolean {
  return objectiveOf(plan, query) < objectiveOf(than, query) * (1 - ROUNDING)
}

/**
 * What a user would think of first: the source alone, the best other baseline, the best split, and what the
 * constraints exclude. Only the constraints can exclude a faster one: baselines are plans of the same search.
 */
function rivalsOf(query: Objective, parts: WhyParts): Rival[] {
  const { winner, native, bestSplit, unconstrained, cleanCutsOnly } = parts
  const others = native.filter((plan) => plan.id !== winner.id)
  const onSource = others.find(isOnSource)
  const elsewhere = bestOf(
    query,
    others.filter((plan) => plan !== onSource),
  )
  const baselines = [onSource, elsewhere].flatMap((plan) =>
    plan ? [{ plan, label: `on ${nameOf(plan)}` }] : [],
  )
  const rivals = [...baselines]
  if (winner.native && bestSplit)
    rivals.push({ plan: bestSplit, label: `for the best split${cleanCutsOnly ? ' at clean cuts' : ''}` })
  if (unconstrained && isBetter(query, unconstrained, winner) && !unconstrained.native)
    rivals.push({ plan: unconstrained, label: `for ${nameOf(unconstrained)}` })
  return rivals
}

/** What moving the work saves and what the transfers cost, beside staying at the source or leaving it. */
function becauseOf(parts: WhyParts, slower: readonly Plan[]): string[] {
  const { winner } = parts
  const reference = isOnSource(winner) ? bestOf({ objective: 'latency' }, slower) : undefined
  const onSource = parts.native.find(isOnSource)
  if (reference) {
    const saved = winner.computeMs - reference.computeMs
    const cost = `moving ${formatBytes(bytesOf(reference))} would cost ${formatMs(reference.transferMs)}`
    const gain = saved > 0 ? `save only ${formatMs(saved)} of compute` : 'save no compute'
    return [`for ${nameOf(reference)}, ${cost} and ${gain}`]
  }
  if (!onSource || winner.id === onSource.id || winner.transfers.length === 0) return []
  const transfer = `${winner.transfers.length === 1 ? 'the transfer' : 'the transfers'} of ${formatBytes(bytesOf(winner))}`
  const saved = onSource.computeMs - winner.computeMs
  const compute = saved >= 0 ? `compute falls by ${formatMs(saved)}` : `compute rises by ${formatMs(-saved)}`
  const verb = winner.transfers.length === 1 ? 'costs' : 'cost'
  const link = saved >= 0 ? 'but' : 'and'
  return [`${transfer} ${verb} ${formatMs(winner.transferMs)} ${link} ${compute} beside ${nameOf(onSource)}`]
}

/** `cloud computing`, or `the transfer device → cloud`. */
function slowestStepOf(plan: Plan): string {
  const transfer = plan.transfers.find(({ ms, returnMs }) => ms + returnMs === plan.bottleneckMs)
  if (transfer) return `the transfer ${transfer.from} → ${transfer.to}`
  const busy = [plan.source, ...plan.stages.map(({ resource }) => resource)]
  const workOf = (name: string) =>
    sum(plan.stages.filter(({ resource }) => resource === name).map(({ computeMs }) => computeMs)) +
    sum(
      plan.transfers.map(({ from, to, encodeMs, decodeMs }) =>
        to === name ? decodeMs : from === name ? encodeMs : 0,
      ),
    )
  const slowest = busy.reduce((most, name) => (workOf(name) > workOf(most) ? name : most))
  return `${slowest} computing`
}

/** `cloud alone`, or `device [0,12) → cloud [12,40)`. */
function nameOf(plan: Plan): string {
  if (plan.native) return `${plan.stages[0]?.resource} alone`
  return plan.stages.map(({ resource, from, to }) => `${resource} [${from},${to})`).join(' → ')
}

function isOnSource(plan: Plan): boolean {
  return plan.native && plan.transfers.length === 0
}

function bestOf(query: Objective, plans: readonly Plan[]): Plan | undefined {
  return plans.reduce<Plan | undefined>(
    (best, plan) => (best && objectiveOf(best, query) <= objectiveOf(plan, query) ? best : plan),
    undefined,
  )
}

/** Bytes both ways. */
function bytesOf(plan: Plan): number {
  return sum(plan.transfers.map(({ wireBytes, returnBytes }) => wireBytes + returnBytes))
}

/** Three digits, or as many (up to six) as it takes to tell different times apart. */
function digitsFor(times: readonly number[]): number {
  for (let digits = 3; digits < 6; digits += 1) {
    const shown = new Set(times.map((time) => formatMs(time, digits)))
    if (shown.size === new Set(times).size) return digits
  }
  return 6
}

export function formatMs(value: number, digits = 3): string {
  return `${significant(value, digits)} ms`
}

export function formatBytes(bytes: number): string {
  if (bytes >= 1e6) return `${significant(bytes / 1e6, 3)} MB`
  if (bytes >= 1e3) return `${significant(bytes / 1e3, 3)} kB`
  return bytes === 1 ? '1 byte' : `${bytes} bytes`
}

/** Rounded to so many digits, whole digits always kept; without an exponent or trailing zeros. */
function significant(value: number, digits: number): string {
  if (value === 0) return '0'
  const whole = Math.floor(Math.log10(Math.abs(value))) + 1
  const decimals = Math.min(20, Math.max(0, digits - whole))
  const text = value.toFixed(decimals)
  return decimals === 0 ? text : text.replace(/\.?0+$/, '')
}

function formatObjective(objective: OptimiserQuery['objective'], value: number, digits: number): string {
  switch (objective) {
    case 'latency':
      return formatMs(value, digits)
    case 'throughput':
      return `${formatMs(value, digits)} per request`
    case 'bytes':
      return formatBytes(value)
    case 'energy':
      return `${significant(value, digits)} J`
    case 'price':
      return `${significant(value, digits)} per request`
    case 'weighted':
      return `a weighted sum of ${significant(value, digits)}`
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function listOf(items: readonly string[]): string {
  if (items.length < 2) return items.join('')
  return `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`
}
