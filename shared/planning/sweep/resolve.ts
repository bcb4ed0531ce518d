/** What sweeps and sensitivity ask the optimiser: the best plan under other conditions, and what a plan costs there. */
import type { Plan } from '../../contracts/plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import { parsePlanId } from '../../contracts/plan-id.ts'
import { constraintsOf } from '../limits/constraints.ts'
import { evaluatePlan, objectiveOf, type OptimiserQuery, optimise, type Problem } from '../chain/optimise.ts'
import { FIGURES } from '../problem/problem.ts'
import { compileProblem, Solver } from '../chain/solver.ts'

/** The objective's figure, and the latency, which decides between plans of one figure. */
export interface Cost {
  value: number
  latencyMs: number
}

export interface Best extends Cost {
  plan: Plan
}

/**
 * The best plan for a query, with everything that `optimise` refuses; undefined where none satisfies the constraints.
 * To be asked once, before `solveBest`.
 */
export function solveFirst(problem: Problem, query: OptimiserQuery): Best | undefined {
  try {
    const [plan] = optimise(problem, { ...query, top: 1 }).plans
    return plan && { plan, ...costOf(plan, query) }
  } catch (error) {
    if (error instanceof ScissionError && error.code === 'infeasible') return undefined
    throw error
  }
}

/** The same without words, for a query that is known to be sound. */
export function solveBest(problem: Problem, query: OptimiserQuery): Best | undefined {
  const solver = solverOf(problem, query)
  const constraints = constraintsOf(query, solver.compiled.lossy)
  const [candidate] = solver.best(constraints, 1).candidates
  if (!candidate) return undefined
  const plan = solver.priced(candidate, constraints)
  return { plan, ...costOf(plan, query) }
}

/** What a plan costs under the problem's conditions, whether or not the query allows it there. */
export function reprice(problem: Problem, query: OptimiserQuery, plan: Plan): Cost {
  return costOf(evaluated(problem, query, plan), query)
}

/** A plan as it is under the problem's conditions. */
export function evaluated(problem: Problem, query: OptimiserQuery, plan: Plan): Plan {
  const given = problem.figures ?? {}
  const figures = Object.fromEntries(FIGURES.map((field) => [field, query[field] ?? given[field]]))
  return evaluatePlan(problem, parsePlanId(plan.id), { confidence: query.confidence, figures })
}

function costOf(plan: Plan, query: OptimiserQuery): Cost {
  return { value: objectiveOf(plan, query), latencyMs: plan.predictedMs }
}

/** Without a time limit: what is said of whole ranges of conditions must be proven. */
function solverOf(problem: Problem, query: OptimiserQuery): Solver {
  return new Solver(compileProblem(problem, query.source), query)
}

/** @throws ScissionError badRequest for queries that a map or a change of conditions cannot be worked out for. */
export function refuseUnmappable(query: OptimiserQuery & { view?: 'chain' | 'graph' }, what: string): void {
  const refuse = (field: string, why: string) =>
    new ScissionError('badRequest', `${field}: ${what} ${why}`, { field })
  if (query.pareto) throw refuse('pareto', 'compares single plans: give an objective instead of a front')
  if (query.view === 'graph') throw refuse('view', 'is worked out for plans of the chain only')
  if (query.timeLimitMs !== undefined)
    throw refuse('timeLimitMs', 'is proven or not given: it takes no time limit')
}
