/**
 * When no plan satisfies a query: which of its constraints are to blame. The answer names a smallest set that no plan
 * satisfies even if all other constraints are dropped, and those whose removal alone lets a plan appear (with which
 * limit, where the constraint is a number).
 */
import { ScissionError } from '../../../shared/errors.ts'
import { bestCost, boundsOf } from './bounds.ts'
import type { Chain, LeftOut } from './chain.ts'
import { type Constraint, describe } from './constraints.ts'
import { ROUNDING } from './search.ts'
import { spaceOf } from './space.ts'

/** Subsets of up to this many constraints are tried by size; past it a set from which nothing can go is named. */
const MOST_FOR_SMALLEST = 12

export function isFeasible(chain: Chain, constraints: readonly Constraint[]): boolean {
  const space = spaceOf(chain, constraints)
  const costMs = bestCost(chain, space, boundsOf(chain, space))
  return costMs < Infinity && costMs <= space.maxLatencyMs * (1 + ROUNDING)
}

/**
 * The error for a query without a plan: `infeasible` naming the constraints, or `notMeasured` when it is not the
 * constraints but missing profiles or links.
 */
export function explainInfeasible(
  chain: Chain,
  constraints: readonly Constraint[],
  leftOut: readonly LeftOut[],
): ScissionError {
  const missing = leftOut.map(({ resource, reason }) => `${resource}: ${reason}`)
  if (!isFeasible(chain, []))
    return new ScissionError('notMeasured', `no resource can run the model. ${missing.join('. ')}`, {
      leftOut,
    })
  const conflict = smallestConflict(chain, constraints)
  const remedies = constraints.flatMap((constraint) => remedyOf(chain, constraints, constraint))
  const unusable = leftOut.filter(({ resource }) =>
    conflict.some((constraint) => 'name' in constraint && constraint.name === resource),
  )
  const sentences = [
    conflict.length === 1
      ? `no plan satisfies ${describe(conflict[0]!)}`
      : `no plan satisfies all of ${conflict.map(describe).join(', ')}`,
    ...unusable.map(({ resource, reason }) => `${resource} is left out: ${reason}`),
    remedies.length > 0 ? `one would ${remedies.join(', or ')}` : 'no single change allows one',
  ]
  return new ScissionError('infeasible', sentences.join('; '), {
    conflict: conflict.map(describe),
    remedies,
    leftOut,
  })
}

/** A smallest set of constraints that excludes every plan; among equals the first in the query's order. */
function smallestConflict(chain: Chain, constraints: readonly Constraint[]): Constraint[] {
  let conflict = [...constraints]
  for (const constraint of constraints) {
    const rest = conflict.filter((other) => other !== constraint)
    if (!isFeasible(chain, rest)) conflict = rest
  }
  if (constraints.length > MOST_FOR_SMALLEST) return conflict
  for (let size = 1; size < conflict.length; size += 1)
    for (const subset of subsetsOf(constraints, size)) if (!isFeasible(chain, subset)) return subset
  return conflict
}

/** What to change about this constraint alone so that a plan appears: nothing helps, another limit, or to drop it. */
function remedyOf(chain: Chain, constraints: readonly Constraint[], constraint: Constraint): string[] {
  const rest = constraints.filter((other) => other !== constraint)
  if (!isFeasible(chain, rest)) return []
  if ('count' in constraint) {
    const { kind, count } = constraint
    const most = kind === 'maxStages' ? chain.tiers.length : 0
    const step = kind === 'maxStages' ? 1 : -1
    for (let value = count + step; value * step <= most * step; value += step)
      if (isFeasible(chain, [...rest, { kind, count: value }]))
        return [`with ${kind} at ${step > 0 ? 'least' : 'most'} ${value}`]
  }
  if ('limit' in constraint) {
    const limit = leastLimit(constraint, (value) =>
      isFeasible(chain, [...rest, { ...constraint, limit: value }]),
    )
    const name = 'name' in constraint ? ` of ${constraint.name}` : ''
    const bound = constraint.kind === 'minThroughput' ? 'most' : 'least'
    if (limit !== undefined) return [`with ${constraint.kind}${name} at ${bound} ${limit}`]
  }
  return [`without ${describe(constraint)}`]
}

/** How often a limit is moved by a factor of two, then how often the interval is halved. */
const DOUBLINGS = 100
const HALVINGS = 40

/**
 * The tightest limit (to four digits, on the side that works) for which a plan appears; undefined when none does.
 * @param constraint its own limit is too tight.
 */
function leastLimit(
  constraint: Extract<Constraint, { limit: number }>,
  isEnough: (limit: number) => boolean,
): number | undefined {
  // Throughput is relaxed downwards: its reciprocal goes up like the others.
  const isFloor = constraint.kind === 'minThroughput'
  const toLimit = (size: number) => (isFloor ? 1 / size : size)
  let tight = toLimit(constraint.limit)
  let loose = Math.max(tight, 1e-6)
  for (let step = 0; step < DOUBLINGS && !isEnough(toLimit(loose)); step += 1) {
    tight = loose
    loose *= 2
  }
  if (!isEnough(toLimit(loose))) return undefined
  for (let step = 0; step < HALVINGS && loose - tight > 1e-5 * loose; step += 1) {
    const middle = (tight + loose) / 2
    if (isEnough(toLimit(middle))) loose = middle
    else tight = middle
  }
  return roundedTo4(toLimit(loose), isFloor ? Math.floor : Math.ceil)
}

function roundedTo4(value: number, round: (value: number) => number): number {
  const unit = 10 ** (Math.floor(Math.log10(value)) - 3)
  return unit >= 1 ? round(value / unit) * unit : round(value / unit) / Math.round(1 / unit)
}

function* subsetsOf<T>(items: readonly T[], size: number): Generator<T[]> {
  if (size === 0) yield []
  else
    for (let first = 0; first + size <= items.length; first += 1)
      for (const rest of subsetsOf(items.slice(first + 1), size - 1)) yield [items[first]!, ...rest]
}
