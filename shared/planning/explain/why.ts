/**
 * One sentence on why the winner wins: what it is up against, what it saves and what that costs. Every number in it is
 * taken from a plan that evaluate.ts priced, and nothing is claimed that those numbers do not show.
 */
import type { GraphPlan } from '../../contracts/graph-plan.ts'
import type { Plan as ChainPlan } from '../../contracts/plan.ts'
import type { OptimiserQuery } from '../limits/constraints.ts'
import { type Goal, objectiveOf, uncertaintyOf } from '../objective/objectives.ts'
import { digitsFor, formatBytes, formatMs, formatObjective, listOf, significant } from './wording.ts'

/** Of either view. */
type Plan = ChainPlan | GraphPlan

export interface WhyParts {
  query: Pick<OptimiserQuery, 'objective' | 'weights' | 'pareto'>
  winner: Plan
  native: readonly Plan[]
  /** The best plan with two stages or more that satisfies the constraints, when there is one and it is known. */
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
  const cost = (plan: Plan) => formatObjective(query, objectiveOf(plan, query), digits)
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
    ...doNotSplit(query, parts),
  ]
  const under = constraints.length > 0 ? `with ${listOf(constraints)}, ` : ''
  return `${under}${sentence.join('; ')}`
}

/**
 * Both figures are uncertain: half the widths of their intervals, added as independent errors are, bound the
 * difference. What they have in common makes the true bound smaller, so this asks for more than it must. Bytes are
 * known exactly, so that a gain of any size counts; nor is anything said where no plan on one machine is allowed.
 */
function doNotSplit(query: Goal, { winner, bestNative }: WhyParts): string[] {
  if (winner.native || !bestNative?.native) return []
  const uncertain = Math.hypot(uncertaintyOf(winner, query), uncertaintyOf(bestNative, query))
  const gain = objectiveOf(bestNative, query) - objectiveOf(winner, query)
  if (uncertain === 0 || gain >= uncertain) return []
  const amount = (value: number) =>
    query.objective === 'weighted' ? significant(value, 3) : formatObjective(query, value)
  return [
    `do not split: the gain of ${amount(Math.max(0, gain))} over ${nameOf(bestNative)} lies inside the uncertainty ` +
      `of ${amount(uncertain)}`,
  ]
}

/** The graph view sends tensors as they are. */
type Transfer = Pick<
  ChainPlan['transfers'][number],
  'from' | 'to' | 'bytes' | 'ms' | 'returnMs' | 'returnBytes'
> &
  Partial<Pick<ChainPlan['transfers'][number], 'wireBytes' | 'encodeMs' | 'decodeMs'>>

interface Rival {
  plan: Plan
  label: string
}

function isBetter(query: Goal, plan: Plan, than: Plan): boolean {
  return objectiveOf(plan, query) < objectiveOf(than, query) * (1 - ROUNDING)
}

/**
 * What a user would think of first: the source alone, the best other baseline, the best split, and what the
 * constraints exclude. Only the constraints can exclude a faster one: baselines are plans of the same search.
 */
function rivalsOf(query: Goal, parts: WhyParts): Rival[] {
  const { winner, native, bestSplit, unconstrained, cleanCutsOnly } = parts
  const others = native.filter((plan) => !isSame(plan, winner))
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
  if (!onSource || isSame(winner, onSource) || winner.transfers.length === 0) return []
  const transfer = `${winner.transfers.length === 1 ? 'the transfer' : 'the transfers'} of ${formatBytes(bytesOf(winner))}`
  const saved = onSource.computeMs - winner.computeMs
  const compute = saved >= 0 ? `compute falls by ${formatMs(saved)}` : `compute rises by ${formatMs(-saved)}`
  const verb = winner.transfers.length === 1 ? 'costs' : 'cost'
  const link = saved >= 0 ? 'but' : 'and'
  return [`${transfer} ${verb} ${formatMs(winner.transferMs)} ${link} ${compute} beside ${nameOf(onSource)}`]
}

/** `cloud computing`, or `the transfer device → cloud`. */
function slowestStepOf(plan: Plan): string {
  const transfers: readonly Transfer[] = plan.transfers
  const transfer = transfers.find(({ ms, returnMs }) => ms + returnMs === plan.bottleneckMs)
  if (transfer) return `the transfer ${transfer.from} → ${transfer.to}`
  const busy = [plan.source, ...plan.stages.map(({ resource }) => resource)]
  const workOf = (name: string) =>
    sum(plan.stages.map(({ resource, computeMs }) => (resource === name ? computeMs : 0))) +
    sum(
      transfers.map(({ from, to, encodeMs = 0, decodeMs = 0 }) =>
        to === name ? decodeMs : from === name ? encodeMs : 0,
      ),
    )
  const slowest = busy.reduce((most, name) => (workOf(name) > workOf(most) ? name : most))
  return `${slowest} computing`
}

/** `cloud alone`, or `device [0,12) → cloud [12,40)`; of the graph view also `device [0,3)[5,9) → …`. */
function nameOf(plan: Plan): string {
  if (plan.native) return `${plan.stages[0]?.resource} alone`
  return plan.stages.map((stage) => `${stage.resource} ${layersText(stage)}`).join(' → ')
}

/** Ranges named of one stage. */
const NAMED_RANGES = 4

function layersText(stage: Plan['stages'][number]): string {
  const ranges = 'layers' in stage ? stage.layers : [[stage.from, stage.to]]
  const named = ranges.slice(0, NAMED_RANGES).map(([from, to]) => `[${from},${to})`)
  const more = ranges.length > NAMED_RANGES ? ` and ${ranges.length - NAMED_RANGES} more` : ''
  return named.join('') + more
}

/** Only what cannot be deployed has no id, and no baseline is of that kind. */
function isSame(a: Plan, b: Plan): boolean {
  return a.id !== undefined && a.id === b.id
}

function isOnSource(plan: Plan): boolean {
  return plan.native && plan.transfers.length === 0
}

function bestOf(query: Goal, plans: readonly Plan[]): Plan | undefined {
  return plans.reduce<Plan | undefined>(
    (best, plan) => (best && objectiveOf(best, query) <= objectiveOf(plan, query) ? best : plan),
    undefined,
  )
}

/** Bytes both ways. */
function bytesOf(plan: Plan): number {
  const transfers: readonly Transfer[] = plan.transfers
  return sum(transfers.map(({ bytes, wireBytes = bytes, returnBytes }) => wireBytes + returnBytes))
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
