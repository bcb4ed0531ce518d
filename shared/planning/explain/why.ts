/**
 * One sentence on why the winner wins, for either view: its rivals, what it saves and what that costs. Every number in
 * it is taken from a plan that evaluate/ priced, and the sentence claims nothing that those numbers do not show.
 */
import type { GraphPlan } from '../../contracts/graph-plan.ts'
import type { Plan as ChainPlan } from '../../contracts/plan.ts'
import { type Constraint, describe, isDefault, type OptimiserQuery } from '../limits/constraints.ts'
import { bestOf, type Goal, objectiveOf, uncertaintyOf } from '../objective/objectives.ts'
import { sum } from '../problem/problem.ts'

/** A plan of either view. */
type Plan = ChainPlan | GraphPlan

export interface Answered<P extends Plan> {
  query: OptimiserQuery
  constraints: readonly Constraint[]
  /** Best first, never empty. */
  plans: readonly P[]
  native: readonly P[]
  /** The best plan with two stages or more, if that is quick to find. Called only if the winner has one stage. */
  bestSplit: () => P | undefined
  /** The best plan under other constraints; undefined if there is none, or none that is proven to be the best. */
  best: (constraints: readonly Constraint[]) => P | undefined
  /** The same for constraints that allow one stage: few plans, so that no time limit counts. */
  bestNative: (constraints: readonly Constraint[]) => P | undefined
}

export function explain<P extends Plan>(answered: Answered<P>): string {
  const { query, constraints, plans, native, bestSplit, bestNative, best } = answered
  const winner = plans[0]!
  const named = constraints.filter((constraint) => !isDefault(constraint))
  const defaults = constraints.filter((one) => isDefault(one) || one.kind === 'confidence')
  return whyOf({
    query,
    winner,
    native,
    bestSplit: winner.native ? bestSplit() : undefined,
    bestNative: winner.native ? winner : bestNative([...constraints, { kind: 'maxStages', count: 1 }]),
    unconstrained: named.length > 0 ? best(defaults) : undefined,
    constraints: named.map(describe),
    cleanCutsOnly: query.cuts === 'clean',
  })
}

interface WhyParts {
  query: Pick<OptimiserQuery, 'objective' | 'weights' | 'pareto'>
  winner: Plan
  native: readonly Plan[]
  /** The best plan with two stages or more that satisfies the constraints, if there is one and it is known. */
  bestSplit: Plan | undefined
  /** The best plan with one stage that satisfies the constraints, if there is one. */
  bestNative: Plan | undefined
  /** The best plan without the constraints, except on cuts; absent if there were none. */
  unconstrained: Plan | undefined
  /** Described constraints, except on cuts. */
  constraints: readonly string[]
  /** True if only clean cuts were allowed. */
  cleanCutsOnly: boolean
}

/** Relative size of differences between sums in different orders. */
const ROUNDING = 1e-12

/**
 * `cloud alone wins: 12.3 ms against 48 ms on device alone and 20.1 ms for the best split at clean cuts; …`.
 * For throughput the times are those of the slowest step: `12.3 ms per request`. The sentence advises against a split
 * whose gain lies inside the uncertainty. For a Pareto front it explains the first plan.
 */
function whyOf(parts: WhyParts): string {
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
 * Advice against a split whose gain over one machine is uncertain. Bytes are exact, so a gain of any size counts. Nothing is
 * said if no plan on one machine is allowed.
 */
function doNotSplit(query: Goal, { winner, bestNative }: WhyParts): string[] {
  if (winner.native || !bestNative?.native) return []
  const uncertain =
    query.objective === 'latency'
      ? uncertaintyOfDifference(winner, bestNative)
      : // Errors that both share would make the bound smaller: this is on the safe side.
        Math.hypot(uncertaintyOf(winner, query), uncertaintyOf(bestNative, query))
  const gain = objectiveOf(bestNative, query) - objectiveOf(winner, query)
  if (uncertain === 0 || gain >= uncertain) return []
  const amount = (value: number) =>
    query.objective === 'weighted' ? significant(value, 3) : formatObjective(query, value)
  return [
    `do not split: the gain of ${amount(Math.max(0, gain))} over ${nameOf(bestNative)} lies inside the uncertainty ` +
      `of ${amount(uncertain)}`,
  ]
}

/** Half the width of the 95 % interval of the difference of typical latencies: what moves both moves it less. */
function uncertaintyOfDifference(a: Plan, b: Plan): number {
  const of = ({ moves }: Plan, what: string) => moves.find((move) => move.what === what)?.typicalMs ?? 0
  const all = new Set([...a.moves, ...b.moves].map(({ what }) => what))
  return Math.hypot(...[...all].map((what) => of(a, what) - of(b, what)))
}

/** Transfers of the graph view have no codec: their wire bytes are their bytes. */
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
 * The plans to compare with: the source alone, the best other baseline, the best split, and the best plan that the
 * constraints exclude. A rival can be better than the winner only if the constraints exclude it.
 */
function rivalsOf(query: Goal, parts: WhyParts): Rival[] {
  const { winner, native, bestSplit, unconstrained, cleanCutsOnly } = parts
  const others = native.filter((plan) => !isSame(plan, winner))
  const onSource = others.find(isOnSource)
  const elsewhere = bestOf(
    others.filter((plan) => plan !== onSource),
    query,
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

/** Compute time saved and transfer time spent, compared with staying on the source or with leaving it. */
function becauseOf(parts: WhyParts, slower: readonly Plan[]): string[] {
  const { winner } = parts
  const reference = isOnSource(winner) ? bestOf(slower, { objective: 'latency' }) : undefined
  const onSource = parts.native.find(isOnSource)
  if (reference) {
    const saved = winner.computeMs - reference.computeMs
    const cost = `sending ${sentText(reference)} would cost ${formatMs(reference.transferMs)}`
    const gain = saved > 0 ? `save only ${formatMs(saved)} of compute` : 'save no compute'
    return [`for ${nameOf(reference)}, ${cost} and ${gain}`]
  }
  if (!onSource || isSame(winner, onSource) || winner.transfers.length === 0) return []
  const transfer = `${winner.transfers.length === 1 ? 'the transfer' : 'the transfers'} of ${sentText(winner)}`
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
    (name === plan.source ? (plan.relayMs ?? 0) : 0) +
    sum(plan.stages.map(({ resource, computeMs }) => (resource === name ? computeMs : 0))) +
    sum(
      transfers.map(({ from, to, encodeMs = 0, decodeMs = 0 }) =>
        to === name ? decodeMs : from === name ? encodeMs : 0,
      ),
    )
  const slowest = busy.reduce((most, name) => (workOf(name) > workOf(most) ? name : most))
  return `${slowest} computing`
}

/** `cloud alone`, or `device [0,12) → cloud [12,40)`; in the graph view also `device [0,3)[5,9) → …`. */
function nameOf(plan: Plan): string {
  if (plan.native) return `${plan.stages[0]?.resource} alone`
  return plan.stages.map((stage) => `${stage.resource} ${layersText(stage)}`).join(' → ')
}

/** Layer ranges of one stage that are named; the others are counted. */
const MAX_RANGES = 4

function layersText(stage: Plan['stages'][number]): string {
  const ranges = 'layers' in stage ? stage.layers : [[stage.from, stage.to]]
  const named = ranges.slice(0, MAX_RANGES).map(([from, to]) => `[${from},${to})`)
  const more = ranges.length > MAX_RANGES ? ` and ${ranges.length - MAX_RANGES} more` : ''
  return named.join('') + more
}

/** Plans that cannot be deployed have no id; no baseline is one of them. */
function isSame(a: Plan, b: Plan): boolean {
  return a.id !== undefined && a.id === b.id
}

function isOnSource(plan: Plan): boolean {
  return plan.native && plan.transfers.length === 0
}

/** `50.2 kB and 4 kB back`: the first figure is what tables of plans call sent. */
function sentText(plan: Plan): string {
  const transfers: readonly Transfer[] = plan.transfers
  const back = sum(transfers.map(({ returnBytes }) => returnBytes))
  const sent = formatBytes(sum(transfers.map(({ bytes, wireBytes = bytes }) => wireBytes)))
  return back === 0 ? sent : `${sent} and ${formatBytes(back)} back`
}

/** Significant digits that tell different times apart: 3 to 6. */
function digitsFor(times: readonly number[]): number {
  for (let digits = 3; digits < 6; digits += 1) {
    const shown = new Set(times.map((time) => formatMs(time, digits)))
    if (shown.size === new Set(times).size) return digits
  }
  return 6
}

function formatMs(value: number, digits = 3): string {
  // As tables write it.
  return value >= 1000 ? `${significant(value / 1000, digits)} s` : `${significant(value, digits)} ms`
}

function formatBytes(bytes: number): string {
  if (bytes >= 1e6) return `${significant(bytes / 1e6, 3)} MB`
  if (bytes >= 1e3) return `${significant(bytes / 1e3, 3)} kB`
  return bytes === 1 ? '1 byte' : `${significant(bytes, 3)} bytes`
}

/** Rounded to significant digits, never within the whole part; without an exponent or trailing zeros. */
function significant(value: number, digits: number): string {
  if (value === 0) return '0'
  const whole = Math.floor(Math.log10(Math.abs(value))) + 1
  const decimals = Math.min(20, Math.max(0, digits - whole))
  const text = value.toFixed(decimals)
  return decimals === 0 ? text : text.replace(/\.?0+$/, '')
}

/** A value of an objective with its unit. @param digits significant digits; bytes always have 3. */
function formatObjective({ objective }: Pick<Goal, 'objective'>, value: number, digits = 3): string {
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

/** `a, b and c`. */
function listOf(items: readonly string[]): string {
  if (items.length < 2) return items.join('')
  return `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`
}
