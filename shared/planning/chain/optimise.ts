/**
 * The chain view: from measured costs to the best plans, exactly.
 *
 *   problem ── compileProblem ──▶ Chain ────────────────┐
 *   query ── constraintsOf ──▶ searchLimitsOf ──▶ SearchSpace ──▶ search (routes, then cuts) ──▶ evaluatePlan ──▶ explain
 *
 * Stages are ranges of the canonical layer order, on resources of strictly later tiers. A plan decides the resources, the
 * cuts, the codec of every hop and, if a resource has several profiles, its runtime options.
 */
import type { Plan } from '../../contracts/plan.ts'
import { explainInfeasible, tooLate } from '../explain/conflict.ts'
import { explain } from '../explain/why.ts'
import { checkQuery, type Constraint, constraintsOf, type OptimiserQuery } from '../limits/constraints.ts'
import { bestOf, criteriaOf, objectiveOf } from '../objective/objectives.ts'
import { checkProblem } from '../problem/check-problem.ts'
import type { LeftOut, Problem } from '../problem/problem.ts'
import { NO_CODEC } from './chain.ts'
import { ChainSolver, TimeLimit } from './chain-solver.ts'
import { compileProblem } from './compile-chain.ts'
import { type Found, planCount } from './search.ts'

export interface Optimum {
  /**
   * Best first: objective, latency, fewer stages, earlier resources, earlier cuts. For a Pareto front: by its objectives in
   * order. Never empty.
   */
  plans: Plan[]
  /** The whole model on one resource, for each that the source has a link to; constraints do not apply. */
  native: Plan[]
  why: string
  /** Number of plans for the tiers, resources, cuts and codecs of the query; limits on costs and layers aside. */
  considered: number
  leftOut: LeftOut[]
  /** Number of plans on the Pareto front, if not all of them are listed. */
  frontSize?: number
  /** Set if the time limit was reached: no plan is better than the first by more than this share of its value. */
  gap?: number
}

/** Plans of a Pareto front that are listed. */
const MAX_ON_FRONT = 1000

/**
 * The `query.top` best plans for the query's objective under its constraints, or the Pareto front of `query.pareto`.
 * @param now a clock in milliseconds, for `query.timeLimitMs`.
 * @throws ScissionError badRequest, notFound (the problem or the query is not valid), notMeasured (no resource can run the
 * model), infeasible (`details.conflict` names a smallest set of constraints that no plan satisfies), deadlineExceeded (the
 * time limit was reached before any plan was found).
 * @example optimise(problem, { objective: 'latency', top: 5, cuts: 'clean', maxTierMs: { device: 20 } }).plans[0]
 */
export function optimise(problem: Problem, query: OptimiserQuery, now = () => performance.now()): Optimum {
  checkProblem(problem)
  checkQuery(problem, query)
  const compiled = compileProblem(problem, query.source)
  const solver = new ChainSolver(compiled, query, new TimeLimit(query.timeLimitMs, now))
  const constraints = constraintsOf(query, compiled.lossy)
  const found = query.pareto ? solver.front(constraints) : solver.best(constraints, query.top, query.distinct)
  const plans = found.candidates
    .slice(0, MAX_ON_FRONT)
    .map((candidate) => solver.priced(candidate, constraints))
  if (!query.pareto) plans.sort((a, b) => compare(query, a, b))
  const winner = plans[0]
  if (winner === undefined)
    throw found.bound === undefined ? explainInfeasible(solver, constraints) : tooLate(query)
  const native = nativePlans(solver)
  const best = (others: readonly Constraint[]) => provenBest(solver, others)
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
      best,
      bestNative: (alone) => provenBest(new ChainSolver(compiled, query), alone),
    }),
    considered: Math.min(planCount(solver.spaceOf(constraints)), Number.MAX_SAFE_INTEGER),
    leftOut: compiled.leftOut,
    ...(found.candidates.length > plans.length ? { frontSize: found.candidates.length } : {}),
    ...(found.bound === undefined ? {} : { gap: gapOf(found, winner, query) }),
  }
}

function provenBest(solver: ChainSolver, constraints: readonly Constraint[]): Plan | undefined {
  const { candidates, bound } = solver.best(constraints, 1)
  const [candidate] = candidates
  return candidate && bound === undefined ? solver.priced(candidate, constraints) : undefined
}

/** Order by evaluated values: the sums of the search may differ in the last digit. Stable for equal plans. */
function compare(query: OptimiserQuery, a: Plan, b: Plan): number {
  return objectiveOf(a, query) - objectiveOf(b, query) || a.predictedMs - b.predictedMs
}

function gapOf({ bound = 0 }: Found, winner: Plan, query: OptimiserQuery): number {
  if (query.pareto) return 1
  const value = objectiveOf(winner, query)
  const lowest = criteriaOf(query)[0]!.toPlanUnits(bound)
  return value > 0 ? Math.min(1, Math.max(0, (value - lowest) / value)) : 0
}

/** The baselines, uncompressed, each with the runtime options that are best for the objective. */
function nativePlans(solver: ChainSolver): Plan[] {
  const { confidence } = solver.query
  const { median: chain } = solver.compiled
  return chain.resources.flatMap(({ runners }, resource) => {
    const pair = chain.source * chain.resources.length + resource
    if (resource !== chain.source && chain.hopMs[pair] === Infinity) return []
    const whole = { resource, from: 0, to: chain.layers, codec: NO_CODEC }
    const plans = runners.map(({ variant }) =>
      solver.evaluated({ stages: [{ ...whole, variant }] }, confidence),
    )
    return bestOf(plans, solver.query) ?? []
  })
}
