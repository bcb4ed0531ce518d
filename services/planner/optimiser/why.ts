/**
 * One sentence on why the winner wins: what it is up against, what it saves and what that costs. Every number in it is
 * taken from a plan that evaluate.ts priced, and nothing is claimed that those numbers do not show.
 */
import type { Plan } from '../../../shared/contracts/plan.ts'
import type { OptimiserQuery } from './constraints.ts'

export interface WhyParts {
  objective: OptimiserQuery['objective']
  winner: Plan
  native: readonly Plan[]
  /** The best plan with two stages or more that satisfies the constraints, when there is one. */
  bestSplit: Plan | undefined
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
 * For throughput the times are those of the slowest step: `12.3 ms per request`.
 */
export function whyOf(parts: WhyParts): string {
  const { objective, winner, constraints } = parts
  const rivals = rivalsOf(parts)
  const digits = digitsFor(
    [winner, ...rivals.map((rival) => rival.plan)].map((plan) => costOf(objective, plan)),
  )
  const unit = objective === 'latency' ? '' : ' per request'
  const cost = (plan: Plan) => `${formatMs(costOf(objective, plan), digits)}${unit}`
  const list = (some: readonly Rival[]) => listOf(some.map(({ plan, label }) => `${cost(plan)} ${label}`))
  const better = rivals.filter(({ plan }) => isBetter(objective, plan, winner))
  const others = rivals.filter(({ plan }) => !isBetter(objective, plan, winner))
  const sentence = [
    others.length > 0
      ? `${nameOf(winner)} wins: ${cost(winner)} against ${list(others)}`
      : `${nameOf(winner)} takes ${cost(winner)}`,
    ...(rivals.length === 0 ? ['there is nothing to compare it with'] : []),
    ...(better.length > 0 ? [`the constraints rule out ${list(better)}`] : []),
    ...(objective === 'latency'
      ? becauseOf(
          parts,
          others.map(({ plan }) => plan),
        )
      : [`its slowest step is ${slowestStepOf(winner)}`]),
  ]
  const under = constraints.length > 0 ? `with ${listOf(constraints)}, ` : ''
  return `${under}${sentence.join('; ')}`
}

interface Rival {
  plan: Plan
  label: string
}

/** What the objective makes small. */
function costOf(objective: WhyParts['objective'], plan: Plan): number {
  return objective === 'latency' ? plan.predictedMs : plan.bottleneckMs
}

function isBetter(objective: WhyParts['objective'], plan: Plan, than: Plan): boolean {
  return costOf(objective, plan) < costOf(objective, than) * (1 - ROUNDING)
}

/**
 * What a user would think of first: the source alone, the best other baseline, the best split, and what the
 * constraints exclude. Only the constraints can exclude a faster one: baselines are plans of the same search.
 */
function rivalsOf(parts: WhyParts): Rival[] {
  const { objective, winner, native, bestSplit, unconstrained, cleanCutsOnly } = parts
  const others = native.filter((plan) => plan.id !== winner.id)
  const onSource = others.find(isOnSource)
  const elsewhere = bestOf(
    objective,
    others.filter((plan) => plan !== onSource),
  )
  const baselines = [onSource, elsewhere].flatMap((plan) =>
    plan ? [{ plan, label: `on ${nameOf(plan)}` }] : [],
  )
  const rivals = [...baselines]
  if (winner.native && bestSplit)
    rivals.push({ plan: bestSplit, label: `for the best split${cleanCutsOnly ? ' at clean cuts' : ''}` })
  if (unconstrained && isBetter(objective, unconstrained, winner) && !unconstrained.native)
    rivals.push({ plan: unconstrained, label: `for ${nameOf(unconstrained)}` })
  return rivals
}

/** What moving the work saves and what the transfers cost, beside staying at the source or leaving it. */
function becauseOf(parts: WhyParts, slower: readonly Plan[]): string[] {
  const { winner } = parts
  const reference = isOnSource(winner) ? bestOf('latency', slower) : undefined
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
  const stage = plan.stages.find(({ computeMs }) => computeMs === plan.bottleneckMs)
  if (stage) return `${stage.resource} computing`
  const transfer = plan.transfers.find(({ ms, returnMs }) => ms + returnMs === plan.bottleneckMs)
  return `the transfer ${transfer?.from} → ${transfer?.to}`
}

/** `cloud alone`, or `device [0,12) → cloud [12,40)`. */
function nameOf(plan: Plan): string {
  if (plan.native) return `${plan.stages[0]?.resource} alone`
  return plan.stages.map(({ resource, from, to }) => `${resource} [${from},${to})`).join(' → ')
}

function isOnSource(plan: Plan): boolean {
  return plan.native && plan.transfers.length === 0
}

function bestOf(objective: WhyParts['objective'], plans: readonly Plan[]): Plan | undefined {
  return plans.reduce<Plan | undefined>(
    (best, plan) => (best && costOf(objective, best) <= costOf(objective, plan) ? best : plan),
    undefined,
  )
}

/** Bytes both ways. */
function bytesOf(plan: Plan): number {
  return plan.transfers.reduce((total, { bytes, returnBytes }) => total + bytes + returnBytes, 0)
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

function listOf(items: readonly string[]): string {
  if (items.length < 2) return items.join('')
  return `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`
}
