/**
 * Explains a query without a plan, for both views: which of its constraints conflict, and which changes allow a plan.
 *
 * - The conflict is a smallest set of constraints that no plan satisfies together, all others dropped.
 * - Each constraint of the conflict gets one remedy: a limit or a count is relaxed to the nearest value with which a plan
 *   appears (four digits, rounded to the side that works), any other constraint is dropped.
 * - If constraints outside the conflict exclude every plan that this allows, the remedy relaxes a smallest set of them
 *   too, one after the other: each to the nearest value with which a plan appears, with the changes before it made and
 *   the constraints after it dropped.
 *
 * So the query, changed as one remedy says, has a plan. If the search was finished, no smaller first change would do, and
 * no smaller later change once those before it are made.
 */
import type { GraphPlan } from '../../contracts/graph-plan.ts'
import type { Plan } from '../../contracts/plan.ts'
import { MESSAGE_JSON_BYTES } from '../../contracts/resource.ts'
import { ScissionError } from '../../platform/errors.ts'
import {
  type Constraint,
  describe,
  type LimitConstraint,
  type OptimiserQuery,
  SERVING_SETTINGS,
} from '../limits/constraints.ts'
import { type LeftOut, type PlanningResource, sum } from '../problem/problem.ts'

/** The questions that a view answers. */
export interface FeasibilityOracle {
  /** Whether a plan satisfies the constraints; undefined if that was not found out in time. */
  isFeasible(constraints: readonly Constraint[]): boolean | undefined
  /**
   * A limit with which the constraint and the others have a plan. `isTightest`: proven that no tighter limit has one.
   * Undefined if no plan was found even without the constraint.
   */
  sufficientLimit(others: readonly Constraint[], constraint: LimitConstraint): SufficientLimit | undefined
  /** True if no time is left for questions. */
  isOver(): boolean
  /** Most stages that a plan can have. */
  maxStages: number
  leftOut: readonly LeftOut[]
}

export interface SufficientLimit {
  limit: number
  isTightest: boolean
}

/** Up to this many constraints all subsets are tried, smallest first; beyond it the set named is only irreducible. */
const MAX_FOR_SMALLEST = 16

/**
 * The error for a query without a plan: `infeasible` naming the constraints, or `notMeasured` if profiles or links are
 * missing. `details.conflict` is the set of constraints, `details.remedies` has one text per constraint of it, and
 * `details.minimal` says whether it is proven that each of them is needed for the conflict.
 */
export function explainInfeasible(view: FeasibilityOracle, all: readonly Constraint[]): ScissionError {
  const fixed = all.filter((constraint) => isCondition(constraint, all))
  const constraints = without(all, fixed)
  const oracle = under(view, fixed)
  const { leftOut } = oracle
  const missing = leftOut.map(({ resource, reason }) => `${resource}: ${reason}`)
  if (oracle.isFeasible([]) === false)
    return new ScissionError('notMeasured', `no resource can run the model. ${missing.join('. ')}`, {
      leftOut,
    })
  const { conflict, minimal } = smallestConflict(oracle, constraints)
  const remedies = conflict.flatMap((constraint) => remedyFor(oracle, constraints, conflict, constraint))
  const unusable = leftOut.filter(({ resource }) =>
    conflict.some((constraint) => 'name' in constraint && constraint.name === resource),
  )
  const sentences = [
    conflict.length === 1
      ? `no plan satisfies ${describe(conflict[0]!)}`
      : `no plan satisfies all of ${conflict.map(describe).join(', ')}`,
    ...unusable.map(({ resource, reason }) => `${resource} is left out: ${reason}`),
    remedies.length > 0
      ? `one would ${remedies.join(', or ')}`
      : 'the time limit left none to look for a change that allows one',
  ]
  return new ScissionError('infeasible', sentences.join('; '), {
    conflict: conflict.map(describe),
    minimal,
    remedies,
    leftOut,
  })
}

/**
 * Dropping a constraint allows more plans, with one exception: without `confidence: upper`, a tier's share of the compute
 * time may rise. So together with a limit on shares it is never part of a conflict.
 */
function isCondition({ kind }: Constraint, all: readonly Constraint[]): boolean {
  return kind === 'confidence' && all.some((one) => one.kind === 'maxTierShare')
}

/** The oracle with constraints that always hold. */
function under(oracle: FeasibilityOracle, fixed: readonly Constraint[]): FeasibilityOracle {
  return {
    isFeasible: (constraints) => oracle.isFeasible([...fixed, ...constraints]),
    sufficientLimit: (others, constraint) => oracle.sufficientLimit([...fixed, ...others], constraint),
    isOver: () => oracle.isOver(),
    maxStages: oracle.maxStages,
    leftOut: oracle.leftOut,
  }
}

/** The error for a time limit that was reached before a plan was found. */
export function tooLate({ timeLimitMs }: OptimiserQuery): ScissionError {
  return new ScissionError(
    'deadlineExceeded',
    `no plan was found in the time limit of ${timeLimitMs} ms, and it is not known whether there is one: give more time`,
    { field: 'timeLimitMs' },
  )
}

/**
 * A smallest set of constraints that excludes every plan; among equals the first in the query's order.
 *
 * Sets are tried by size. A set that leaves a plan is grown to a maximal such set. Its complement, a correction set, has
 * a member in every conflict, so sets without a member of it are skipped (implicit hitting sets; A. Ignatiev et al.,
 * Smallest MUS extraction with minimal hitting set dualization, CP 2015).
 */
function smallestConflict(
  oracle: FeasibilityOracle,
  constraints: readonly Constraint[],
): { conflict: readonly Constraint[]; minimal: boolean } {
  if (constraints.length > MAX_FOR_SMALLEST) return shrunk(oracle, constraints)
  const corrections: (readonly Constraint[])[] = []
  let minimal = true
  const isFeasible = (some: readonly Constraint[]) => {
    const outcome = oracle.isFeasible(some)
    if (outcome === undefined) minimal = false
    return outcome
  }
  for (let size = 1; size < constraints.length; size += 1)
    for (const subset of subsetsOf(constraints, size)) {
      if (!corrections.every((correction) => correction.some((one) => subset.includes(one)))) continue
      if (oracle.isOver()) return shrunk(oracle, constraints)
      if (isFeasible(subset) === false) return { conflict: subset, minimal }
      let grown: readonly Constraint[] = subset
      for (const one of without(constraints, subset))
        if (isFeasible([...grown, one]) === true) grown = [...grown, one]
      corrections.push(without(constraints, grown))
    }
  return { conflict: constraints, minimal }
}

/** An irreducible conflict; another conflict may have fewer constraints. */
function shrunk(
  oracle: FeasibilityOracle,
  constraints: readonly Constraint[],
): { conflict: readonly Constraint[]; minimal: boolean } {
  let conflict = constraints
  let minimal = true
  for (const constraint of constraints) {
    const rest = without(conflict, [constraint])
    const outcome = oracle.isFeasible(rest)
    if (outcome === false) conflict = rest
    if (outcome === undefined) minimal = false
  }
  return { conflict, minimal }
}

/** The changes that allow a plan: of this constraint of the conflict, and of as few others as possible. */
function remedyFor(
  oracle: FeasibilityOracle,
  constraints: readonly Constraint[],
  conflict: readonly Constraint[],
  constraint: Constraint,
): string[] {
  const rest = without(constraints, [constraint])
  const more = leastToDrop(oracle, rest, without(constraints, conflict))
  if (more === undefined) return []
  let kept = without(rest, more)
  const changes: string[] = []
  for (const one of [constraint, ...more]) {
    const changed = loosened(oracle, kept, one)
    if (changed) kept = [...kept, changed]
    changes.push(changed ? changeText(changed) : `without ${describe(one)}`)
  }
  return [changes.join(' and ')]
}

/** As few of the candidates as possible, so that a plan appears; undefined if none was found in time. */
function leastToDrop(
  oracle: FeasibilityOracle,
  constraints: readonly Constraint[],
  candidates: readonly Constraint[],
): readonly Constraint[] | undefined {
  const isEnough = (dropped: readonly Constraint[]) =>
    !oracle.isOver() && oracle.isFeasible(without(constraints, dropped)) === true
  if (isEnough([])) return []
  if (candidates.length <= MAX_FOR_SMALLEST)
    for (let size = 1; size < candidates.length; size += 1)
      for (const subset of subsetsOf(candidates, size)) if (isEnough(subset)) return subset
  if (!isEnough(candidates)) return undefined
  let dropped = candidates
  for (const one of candidates) if (isEnough(without(dropped, [one]))) dropped = without(dropped, [one])
  return dropped
}

/** The constraint with the nearest value for which a plan satisfies the others too; undefined if it must be dropped. */
function loosened(
  oracle: FeasibilityOracle,
  others: readonly Constraint[],
  constraint: Constraint,
): Constraint | undefined {
  if ('count' in constraint) return countFor(oracle, others, constraint)
  return 'limit' in constraint ? limitFor(oracle, others, constraint) : undefined
}

function countFor(
  oracle: FeasibilityOracle,
  others: readonly Constraint[],
  constraint: Extract<Constraint, { count: number }>,
): Constraint | undefined {
  const { kind, count } = constraint
  const step = kind === 'maxStages' ? 1 : -1
  const last = kind === 'maxStages' ? oracle.maxStages : kind === 'minStages' ? 1 : 0
  for (let value = count + step; value * step <= last * step; value += step)
    if (oracle.isFeasible([...others, { kind, count: value }]) === true) return { kind, count: value }
  return undefined
}

/** Largest values of limits that are percentages or shares. */
const LARGEST: Partial<Record<LimitConstraint['kind'], number>> = { maxTierShare: 100, maxAccuracyLoss: 1 }

/** Bisection steps between a limit that is too tight and one that is not, and the relative width at which it ends. */
const MAX_HALVINGS = 40
const MIN_WIDTH = 1e-5

function limitFor(
  oracle: FeasibilityOracle,
  others: readonly Constraint[],
  constraint: LimitConstraint,
): Constraint | undefined {
  const enough = oracle.sufficientLimit(others, constraint)
  if (enough === undefined) return undefined
  const at = (limit: number): LimitConstraint => ({ ...constraint, limit })
  const isEnough = (limit: number) => oracle.isFeasible([...others, at(limit)]) === true
  let [tight, loose] = [constraint.limit, enough.limit]
  for (let step = 0; step < MAX_HALVINGS && !enough.isTightest; step += 1) {
    const isNear = Math.abs(loose - tight) <= MIN_WIDTH * Math.abs(loose)
    if (isNear) break
    // The limit that a view found is often the tightest already, which one question just below it proves.
    const between =
      step === 0 ? loose - Math.sign(loose - tight) * MIN_WIDTH * Math.abs(loose) : (tight + loose) / 2
    if (isEnough(between)) loose = between
    else tight = between
  }
  // Rounding to nearest restores limits of few digits; a plan must keep the rounded limit.
  const near = roundedTo4(loose, Math.round)
  if (isEnough(near)) return at(near)
  const rounded = roundedTo4(loose, constraint.kind === 'minThroughput' ? Math.floor : Math.ceil)
  return at(Math.min(LARGEST[constraint.kind] ?? Infinity, rounded))
}

/** `with maxTierMs of edge at least 12.5`. */
function changeText(constraint: Constraint): string {
  const { kind } = constraint
  if (kind === 'maxMessageBytes' || kind === 'maxStageBytes')
    return `with ${SERVING_SETTINGS[kind]} of ${constraint.name} at least ${constraint.limit}`
  const isAtMost = kind === 'minThroughput' || kind === 'firstLayersOnDevice' || kind === 'minStages'
  const name = 'name' in constraint ? ` of ${constraint.name}` : ''
  const value = 'limit' in constraint ? constraint.limit : 'count' in constraint ? constraint.count : ''
  return `with ${kind}${name} at ${isAtMost ? 'most' : 'least'} ${value}`
}

function roundedTo4(value: number, round: (value: number) => number): number {
  if (value === 0) return 0
  const unit = 10 ** (Math.floor(Math.log10(value)) - 3)
  return unit >= 1 ? round(value / unit) * unit : round(value / unit) / Math.round(1 / unit)
}

function without<T>(items: readonly T[], some: readonly T[]): T[] {
  return items.filter((item) => !some.includes(item))
}

function* subsetsOf<T>(items: readonly T[], size: number): Generator<T[]> {
  if (size === 0) yield []
  else
    for (let first = 0; first + size <= items.length; first += 1)
      for (const rest of subsetsOf(items.slice(first + 1), size - 1)) yield [items[first]!, ...rest]
}

/** The value of a plan, of either view, that a limit constraint bounds: the tightest limit that the plan keeps. */
export function limitKeptBy(
  plan: Plan | GraphPlan,
  constraint: LimitConstraint,
  resources: readonly Pick<PlanningResource, 'name' | 'tier'>[],
): number {
  switch (constraint.kind) {
    case 'maxTierMs':
      return tierMs(plan, constraint.name, resources)
    case 'maxTierShare':
      return plan.computeMs > 0 ? (100 * tierMs(plan, constraint.name, resources)) / plan.computeMs : 0
    case 'maxUploadBytes':
      return sentFrom(plan, (name) =>
        resources.some((one) => one.name === name && one.tier === constraint.name),
      )
    case 'maxMessageBytes': {
      const arriving = plan.transfers.flatMap(({ from, to, bytes, returnBytes }) => [
        ...(to === constraint.name ? [bytes] : []),
        ...(from === constraint.name ? [returnBytes] : []),
      ])
      return arriving.length === 0 ? 0 : Math.max(...arriving) + MESSAGE_JSON_BYTES
    }
    case 'maxMemoryBytes':
    case 'maxStageBytes':
      return sum(
        plan.stages.map(({ resource, memoryBytes }) => (resource === constraint.name ? memoryBytes : 0)),
      )
    case 'maxTotalUploadBytes':
      return plan.bytes
    case 'maxLatencyMs':
      return plan.predictedMs
    case 'minThroughput':
      return 1000 / plan.bottleneckMs
    case 'maxEnergyJ':
      return plan.energyJ ?? 0
    case 'maxPrice':
      return plan.price ?? 0
    case 'maxAccuracyLoss':
      return 'accuracyLoss' in plan ? plan.accuracyLoss : 0
  }
}

/** ms of compute on a tier, with those of a source that only passes the input on. */
function tierMs(
  { stages, source, relayMs = 0 }: Plan | GraphPlan,
  name: string,
  resources: readonly Pick<PlanningResource, 'name' | 'tier'>[],
): number {
  const isSources = resources.some((one) => one.name === source && one.tier === name)
  const ofStages = sum(stages.map(({ tier, computeMs }) => (tier === name ? computeMs : 0)))
  return ofStages + (isSources ? relayMs : 0)
}

/** Bytes on the wire from the resources that are meant. */
function sentFrom({ transfers }: Plan | GraphPlan, isMeant: (resource: string) => boolean): number {
  return sum(
    transfers.map((transfer) => {
      const bytes = 'wireBytes' in transfer ? transfer.wireBytes : transfer.bytes
      return isMeant(transfer.from) ? bytes : 0
    }),
  )
}
