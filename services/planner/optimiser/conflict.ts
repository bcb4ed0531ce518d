/**
 * When no plan satisfies a query: which of its constraints are to blame. The answer names a smallest set that no plan
 * satisfies even if all other constraints are dropped, and those whose removal alone lets a plan appear (with which
 * limit, where the constraint is a number).
 */
import { ScissionError } from '../../../shared/errors.ts'
import { type Constraint, describe, type OptimiserQuery } from './constraints.ts'
import { type Criterion, limitCriterion } from './objectives.ts'
import type { Solver } from './solver.ts'

/** Subsets of up to this many constraints are tried by size; past it a set from which nothing can go is named. */
const MOST_FOR_SMALLEST = 12

/**
 * The error for a query without a plan: `infeasible` naming the constraints, or `notMeasured` when it is not the
 * constraints but missing profiles or links.
 */
export function explainInfeasible(solver: Solver, constraints: readonly Constraint[]): ScissionError {
  const { leftOut } = solver.compiled
  const missing = leftOut.map(({ resource, reason }) => `${resource}: ${reason}`)
  if (!solver.isFeasible([]))
    return new ScissionError('notMeasured', `no resource can run the model. ${missing.join('. ')}`, {
      leftOut,
    })
  const conflict = smallestConflict(solver, constraints)
  const remedies = constraints.flatMap((constraint) =>
    solver.timeLimit.isOver() ? [] : remedyOf(solver, constraints, constraint),
  )
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
      : solver.timeLimit.isOver()
        ? 'the time limit left none to look for a change that allows one'
        : 'no single change allows one',
  ]
  return new ScissionError('infeasible', sentences.join('; '), {
    conflict: conflict.map(describe),
    remedies,
    leftOut,
  })
}

/** The time limit was reached before a plan was found. */
export function tooLate({ timeLimitMs }: OptimiserQuery): ScissionError {
  return new ScissionError(
    'deadlineExceeded',
    `no plan was found in the time limit of ${timeLimitMs} ms, and it is not known whether there is one: give more time`,
    { field: 'timeLimitMs' },
  )
}

/** A smallest set of constraints that excludes every plan; among equals the first in the query's order. */
function smallestConflict(solver: Solver, constraints: readonly Constraint[]): Constraint[] {
  let conflict = [...constraints]
  for (const constraint of constraints) {
    const rest = conflict.filter((other) => other !== constraint)
    if (!solver.isFeasible(rest)) conflict = rest
  }
  if (constraints.length > MOST_FOR_SMALLEST) return conflict
  for (let size = 1; size < conflict.length; size += 1)
    for (const subset of subsetsOf(constraints, size)) {
      // What is left conflicts, though perhaps not as a smallest set.
      if (solver.timeLimit.isOver()) return conflict
      if (!solver.isFeasible(subset)) return subset
    }
  return conflict
}

/** What to change about this constraint alone so that a plan appears: nothing helps, another limit, or to drop it. */
function remedyOf(solver: Solver, constraints: readonly Constraint[], constraint: Constraint): string[] {
  const rest = constraints.filter((other) => other !== constraint)
  if (!solver.isFeasible(rest)) return []
  if ('count' in constraint) {
    const { kind, count } = constraint
    const most = kind === 'maxStages' ? solver.compiled.median.tiers.length : 0
    const step = kind === 'maxStages' ? 1 : -1
    for (let value = count + step; value * step <= most * step; value += step)
      if (solver.isFeasible([...rest, { kind, count: value }]))
        return [`with ${kind} at ${step > 0 ? 'least' : 'most'} ${value}`]
  }
  if ('limit' in constraint) {
    const limit = loosened(solver, rest, constraint)
    const name = 'name' in constraint ? ` of ${constraint.name}` : ''
    const bound = constraint.kind === 'minThroughput' ? 'most' : 'least'
    if (limit !== undefined) return [`with ${constraint.kind}${name} at ${bound} ${limit}`]
  }
  return [`without ${describe(constraint)}`]
}

type Limited = Extract<Constraint, { limit: number }>

/** Percentages and shares have an end. */
const LARGEST: Partial<Record<Limited['kind'], number>> = { maxTierShare: 100, maxAccuracyLoss: 1 }

/** The tightest limit (to four digits, on the side that works) for which a plan appears; undefined when none does. */
function loosened(solver: Solver, rest: readonly Constraint[], constraint: Limited): number | undefined {
  const isEnough = (limit: number) => solver.isFeasible([...rest, { ...constraint, limit }])
  const criterion: Criterion | undefined = limitCriterion(constraint.kind)
  if (criterion === undefined) return leastLimit(constraint, isEnough)
  const least = solver.least(rest, criterion)
  if (least === undefined) return undefined
  const value = criterion.inUnits(least)
  return constraint.kind === 'minThroughput'
    ? roundedTo4(1000 / value, Math.floor)
    : Math.min(LARGEST[constraint.kind] ?? Infinity, roundedTo4(value, Math.ceil))
}

/** How often a limit is moved by a factor of two, then how often the interval is halved. */
const DOUBLINGS = 100
const HALVINGS = 40

/** @param constraint its own limit is too tight. */
function leastLimit(constraint: Limited, isEnough: (limit: number) => boolean): number | undefined {
  const largest = LARGEST[constraint.kind] ?? Infinity
  let tight = constraint.limit
  let loose = Math.max(tight, 1e-6)
  for (let step = 0; step < DOUBLINGS && !isEnough(loose); step += 1) {
    tight = loose
    loose *= 2
  }
  if (!isEnough(loose)) return undefined
  for (let step = 0; step < HALVINGS && loose - tight > 1e-5 * loose; step += 1) {
    const middle = (tight + loose) / 2
    if (isEnough(middle)) loose = middle
    else tight = middle
  }
  return Math.min(largest, roundedTo4(loose, Math.ceil))
}

function roundedTo4(value: number, round: (value: number) => number): number {
  if (value === 0) return 0
  const unit = 10 ** (Math.floor(Math.log10(value)) - 3)
  return unit >= 1 ? round(value / unit) * unit : round(value / unit) / Math.round(1 / unit)
}

function* subsetsOf<T>(items: readonly T[], size: number): Generator<T[]> {
  if (size === 0) yield []
  else
    for (let first = 0; first + size <= items.length; first += 1)
      for (const rest of subsetsOf(items.slice(first + 1), size - 1)) yield [items[first]!, ...rest]
}
