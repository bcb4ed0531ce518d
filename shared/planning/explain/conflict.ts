/**
 * When no plan satisfies a query: which of its constraints are to blame, and what to change. The same for both views.
 *
 * - The conflict is a smallest set of constraints that no plan satisfies together, all others dropped.
 * - For each constraint of it the answer says how far it alone would have to give way for a plan to appear: a limit or a
 *   count to the nearest value (four digits, on the side that works), anything else by being left out.
 * - Where that is not enough, because constraints beside the conflict exclude the plans it would let appear, a smallest
 *   set of those gives way with it, one after the other: each to the nearest value with which a plan appears, those
 *   before it at theirs and those after it dropped.
 *
 * So the query changed as any one of the remedies says has a plan, and where the search was finished there is none
 * with the first change of a remedy any smaller, nor with a later one smaller once those before it are made.
 */
import { ScissionError } from '../../platform/errors.ts'
import type { LeftOut } from '../chain/compile-chain.ts'
import { type Constraint, describe, type OptimiserQuery } from '../limits/constraints.ts'

export type Limited = Extract<Constraint, { limit: number }>

/** What is asked of a view. */
export interface Asked {
  /** Whether a plan satisfies the constraints; undefined: not found out in the time there is. */
  isFeasible(constraints: readonly Constraint[]): boolean | undefined
  /**
   * A limit with which the constraint and the others have a plan, and whether no tighter one does; undefined where no
   * plan was found even without the constraint.
   */
  enough(others: readonly Constraint[], constraint: Limited): { limit: number; isLeast: boolean } | undefined
  /** No time is left to ask. */
  isOver(): boolean
  /** Most stages that a plan can have. */
  mostStages: number
  leftOut: readonly LeftOut[]
}

/** Subsets of up to this many constraints are tried by size; past it a set from which nothing can go is named. */
const MOST_FOR_SMALLEST = 16

/**
 * The error for a query without a plan: `infeasible` naming the constraints, or `notMeasured` when it is not the
 * constraints but missing profiles or links. `details.conflict` is the set, `details.remedies` has one text for each of
 * it, `details.minimal` says whether it was
 * proven that none of it can be left out.
 */
export function explainInfeasible(view: Asked, all: readonly Constraint[]): ScissionError {
  const fixed = all.filter((constraint) => isCondition(constraint, all))
  const constraints = without(all, fixed)
  const asked = under(view, fixed)
  const { leftOut } = asked
  const missing = leftOut.map(({ resource, reason }) => `${resource}: ${reason}`)
  if (asked.isFeasible([]) === false)
    return new ScissionError('notMeasured', `no resource can run the model. ${missing.join('. ')}`, {
      leftOut,
    })
  const { conflict, minimal } = smallestConflict(asked, constraints)
  const remedies = conflict.flatMap((constraint) => remedyFor(asked, constraints, conflict, constraint))
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
 * Every constraint that is left out lets more plans appear, but for this one: with times at their median instead of
 * their bound, a tier's share of the compute time may rise. Beside a limit on shares it is not to blame.
 */
function isCondition({ kind }: Constraint, all: readonly Constraint[]): boolean {
  return kind === 'confidence' && all.some((one) => one.kind === 'maxTierShare')
}

/** The view asked with these constraints besides, always. */
function under(view: Asked, fixed: readonly Constraint[]): Asked {
  return {
    isFeasible: (constraints) => view.isFeasible([...fixed, ...constraints]),
    enough: (others, constraint) => view.enough([...fixed, ...others], constraint),
    isOver: () => view.isOver(),
    mostStages: view.mostStages,
    leftOut: view.leftOut,
  }
}

/** The time limit was reached before a plan was found. */
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
 * Sets are tried by size. One that leaves a plan is grown to a largest one that does: what is missing from that, a
 * correction, has a member in every conflict, so that sets without one need not be tried (implicit hitting sets; A. Ignatiev
 * et al., Smallest MUS extraction with minimal hitting set dualization, CP 2015).
 */
function smallestConflict(
  asked: Asked,
  constraints: readonly Constraint[],
): { conflict: readonly Constraint[]; minimal: boolean } {
  if (constraints.length > MOST_FOR_SMALLEST) return shrunk(asked, constraints)
  const corrections: (readonly Constraint[])[] = []
  let minimal = true
  const isFeasible = (some: readonly Constraint[]) => {
    const outcome = asked.isFeasible(some)
    if (outcome === undefined) minimal = false
    return outcome
  }
  for (let size = 1; size < constraints.length; size += 1)
    for (const subset of subsetsOf(constraints, size)) {
      if (!corrections.every((correction) => correction.some((one) => subset.includes(one)))) continue
      if (asked.isOver()) return shrunk(asked, constraints)
      if (isFeasible(subset) === false) return { conflict: subset, minimal }
      let grown: readonly Constraint[] = subset
      for (const one of without(constraints, subset))
        if (isFeasible([...grown, one]) === true) grown = [...grown, one]
      corrections.push(without(constraints, grown))
    }
  return { conflict: constraints, minimal }
}

/** A conflict that nothing can be left out of, though there may be one of fewer constraints. */
function shrunk(
  asked: Asked,
  constraints: readonly Constraint[],
): { conflict: readonly Constraint[]; minimal: boolean } {
  let conflict = constraints
  let minimal = true
  for (const constraint of constraints) {
    const rest = without(conflict, [constraint])
    const outcome = asked.isFeasible(rest)
    if (outcome === false) conflict = rest
    if (outcome === undefined) minimal = false
  }
  return { conflict, minimal }
}

/** What to change so that a plan appears: this constraint of the conflict, and beside the conflict as few as it takes. */
function remedyFor(
  asked: Asked,
  constraints: readonly Constraint[],
  conflict: readonly Constraint[],
  constraint: Constraint,
): string[] {
  const rest = without(constraints, [constraint])
  const more = leastToDrop(asked, rest, without(constraints, conflict))
  if (more === undefined) return []
  let kept = without(rest, more)
  const changes: string[] = []
  for (const one of [constraint, ...more]) {
    const changed = loosened(asked, kept, one)
    if (changed) kept = [...kept, changed]
    changes.push(changed ? changeText(changed) : `without ${describe(one)}`)
  }
  return [changes.join(' and ')]
}

/** As few of the candidates as it takes; undefined where the time there is does not show that any do. */
function leastToDrop(
  asked: Asked,
  constraints: readonly Constraint[],
  candidates: readonly Constraint[],
): readonly Constraint[] | undefined {
  const isEnough = (dropped: readonly Constraint[]) =>
    !asked.isOver() && asked.isFeasible(without(constraints, dropped)) === true
  if (isEnough([])) return []
  if (candidates.length <= MOST_FOR_SMALLEST)
    for (let size = 1; size < candidates.length; size += 1)
      for (const subset of subsetsOf(candidates, size)) if (isEnough(subset)) return subset
  if (!isEnough(candidates)) return undefined
  let dropped = candidates
  for (const one of candidates) if (isEnough(without(dropped, [one]))) dropped = without(dropped, [one])
  return dropped
}

/** The constraint with the nearest value for which a plan appears beside the others; undefined: it must go. */
function loosened(
  asked: Asked,
  others: readonly Constraint[],
  constraint: Constraint,
): Constraint | undefined {
  if ('count' in constraint) return countFor(asked, others, constraint)
  return 'limit' in constraint ? limitFor(asked, others, constraint) : undefined
}

function countFor(
  asked: Asked,
  others: readonly Constraint[],
  constraint: Extract<Constraint, { count: number }>,
): Constraint | undefined {
  const { kind, count } = constraint
  const step = kind === 'maxStages' ? 1 : -1
  const last = kind === 'maxStages' ? asked.mostStages : kind === 'minStages' ? 1 : 0
  for (let value = count + step; value * step <= last * step; value += step)
    if (asked.isFeasible([...others, { kind, count: value }]) === true) return { kind, count: value }
  return undefined
}

/** Percentages and shares have an end. */
const LARGEST: Partial<Record<Limited['kind'], number>> = { maxTierShare: 100, maxAccuracyLoss: 1 }

/** Halvings of the interval between a limit that is too tight and one that is not, until they differ by so little. */
const HALVINGS = 40
const NEAR = 1e-5

function limitFor(asked: Asked, others: readonly Constraint[], constraint: Limited): Constraint | undefined {
  const enough = asked.enough(others, constraint)
  if (enough === undefined) return undefined
  const at = (limit: number): Limited => ({ ...constraint, limit })
  const isEnough = (limit: number) => asked.isFeasible([...others, at(limit)]) === true
  let [tight, loose] = [constraint.limit, enough.limit]
  for (let step = 0; step < HALVINGS && !enough.isLeast; step += 1) {
    const isNear = Math.abs(loose - tight) <= NEAR * Math.abs(loose)
    if (isNear) break
    // What a view found first is often the best there is, which one question shows.
    const between =
      step === 0 ? loose - Math.sign(loose - tight) * NEAR * Math.abs(loose) : (tight + loose) / 2
    if (isEnough(between)) loose = between
    else tight = between
  }
  // What rounding made of a number with few digits is that number, if a plan says so.
  const near = roundedTo4(loose, Math.round)
  if (isEnough(near)) return at(near)
  const rounded = roundedTo4(loose, constraint.kind === 'minThroughput' ? Math.floor : Math.ceil)
  return at(Math.min(LARGEST[constraint.kind] ?? Infinity, rounded))
}

/** `with maxTierMs of edge at least 12.5`. */
function changeText(constraint: Constraint): string {
  const { kind } = constraint
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
