/**
 * The optimiser: from measured costs to the best plans, exactly. Pure: no files, no sockets; a clock only for a time
 * limit.
 *
 *   Problem ── compileProblem ──▶ Chain ─────────────┐
 *   query ── constraintsOf ──▶ demandsOf ──▶ SearchSpace ──▶ search (routes, then cuts) ──▶ evaluatePlan ──▶ answer
 *
 * Chain view: stages are ranges of the canonical layer order, on resources of strictly later tiers. A plan decides the
 * resources, the cuts, the codec of every hop and, where a resource has several profiles, its runtime options.
 */
import type { Plan } from '../../contracts/plan.ts'
import { chainAsked } from './chain-asked.ts'
import { explainInfeasible, tooLate } from '../explain/conflict.ts'
import { checkQuery } from '../limits/check-query.ts'
import { type Constraint, constraintsOf, type OptimiserQuery } from '../limits/constraints.ts'
import { alone, explain } from '../explain/explain.ts'
import { nativePlans } from './native.ts'
import { criteriaOf, objectiveOf } from '../objective/objectives.ts'
import type { Problem } from '../problem/problem.ts'
import { planCount } from './routes.ts'
import { checkOnce, compileProblem, Solver } from './solver.ts'
import type { LeftOut } from './compile-chain.ts'
import type { Found } from './search.ts'
import { TimeLimit } from './time-limit.ts'

export type { OptimiserQuery } from '../limits/constraints.ts'
export { evaluatePlan } from '../evaluate/evaluate-plan.ts'
export { objectiveOf } from '../objective/objectives.ts'
export type { Figures, PlanningCodec, PlanningProfile, Problem } from '../problem/problem.ts'
export { type Compiled, compileProblem } from './solver.ts'

export interface Optimum {
  /**
   * Best first: the objective, then latency, fewer stages, earlier resources, earlier cuts. For a front: by its
   * objectives, first things first. Never empty.
   */
  plans: Plan[]
  /** The whole model on one resource, for each that the source has a link to; constraints do not apply. */
  native: Plan[]
  why: string
  /** Plans that the tiers, resources, cuts and codecs asked for leave; limits on costs and layers aside. */
  considered: number
  leftOut: LeftOut[]
  /** Set when the front has more plans than are listed. */
  frontSize?: number
  /** Set when the time limit was reached: no plan is better than the first by more than this share of its value. */
  gap?: number
}

/** Of a longer front the first so many are listed. */
export const MOST_ON_FRONT = 1000

/**
 * The `query.top` best plans for the query's objective under its constraints, or the front of `query.pareto`.
 * @param now milliseconds, for `query.timeLimitMs`.
 * @throws ScissionError badRequest, notFound (what was given is not usable), notMeasured (nothing can run the model),
 * infeasible (`details.conflict` names a smallest set of constraints that no plan satisfies), deadlineExceeded (the
 * time limit was reached before any plan was found).
 */
export function optimise(problem: Problem, query: OptimiserQuery, now = () => performance.now()): Optimum {
  checkOnce(problem)
  checkQuery(problem, query)
  const compiled = compileProblem(problem, query.source)
  const solver = new Solver(compiled, query, new TimeLimit(query.timeLimitMs, now))
  const constraints = constraintsOf(query, compiled.lossy)
  const found = query.pareto ? solver.front(constraints) : solver.best(constraints, query.top, query.distinct)
  const plans = found.candidates
    .slice(0, MOST_ON_FRONT)
    .map((candidate) => solver.priced(candidate, constraints))
  if (!query.pareto) plans.sort((a, b) => compare(query, a, b))
  const winner = plans[0]
  if (winner === undefined)
    throw found.bound === undefined ? explainInfeasible(chainAsked(solver), constraints) : tooLate(query)
  const native = nativePlans(solver)
  const best = (demands: readonly Constraint[]) => provenBest(solver, demands)
  const listed = found.bound === undefined ? plans.find((plan) => !plan.native) : undefined
  return {
    plans,
    native,
    why: explain({
      query,
      constraints,
      plans,
      native,
      bestSplit: () => listed ?? best([...constraints, { kind: 'minStages', count: 2 }]),
      bestAlone: () => provenBest(new Solver(compiled, query), alone(constraints)),
      best,
    }),
    considered: Math.min(planCount(solver.spaceOf(constraints)), Number.MAX_SAFE_INTEGER),
    leftOut: compiled.leftOut,
    ...(found.candidates.length > plans.length ? { frontSize: found.candidates.length } : {}),
    ...(found.bound === undefined ? {} : { gap: gapOf(found, winner, query) }),
  }
}

function provenBest(solver: Solver, constraints: readonly Constraint[]): Plan | undefined {
  const { candidates, bound } = solver.best(constraints, 1)
  const [candidate] = candidates
  return candidate && bound === undefined ? solver.priced(candidate, constraints) : undefined
}

/** Orders by what evaluate.ts says: sums in another order may differ in the last digit. Stable for equals. */
function compare(query: OptimiserQuery, a: Plan, b: Plan): number {
  return objectiveOf(a, query) - objectiveOf(b, query) || a.predictedMs - b.predictedMs
}

function gapOf({ bound = 0 }: Found, winner: Plan, query: OptimiserQuery): number {
  if (query.pareto) return 1
  const value = objectiveOf(winner, query)
  const least = criteriaOf(query)[0]!.inUnits(bound)
  return value > 0 ? Math.min(1, Math.max(0, (value - least) / value)) : 0
}
