/**
 * The graph view: each layer on its own stop of a route, as long as no tensor goes back. Unlike a cut of the chain, a cut of
 * the graph may pass through parallel branches.
 *
 *   problem + query ── graph-instance.ts ──▶ numbers ── routes.ts ──▶ routes with limits ── branch-and-bound.ts ──▶ plans
 *
 * Exact for every objective that is a sum (latency, bytes, energy, price, weighted) under every constraint on resources and
 * layers: one minimum cut per route. Side constraints are kept exactly too; the proof that nothing better keeps them may
 * take long, and if it was not finished the answer says by how much a better plan could be better.
 */
import type { GraphPlan } from '../../contracts/graph-plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import { explainInfeasible, tooLate } from '../explain/conflict.ts'
import { explain } from '../explain/why.ts'
import { checkProblem, checkQuery } from '../limits/checks.ts'
import type { OptimiserQuery } from '../limits/constraints.ts'
import { allConstraintsOf } from '../limits/serving-limits.ts'
import type { GraphProblem } from '../problem/problem.ts'
import type { GraphInstance } from './graph-instance.ts'
import { GraphSolver, MAX_MS, MAX_STEPS, nativeGraphPlans } from './graph-solver.ts'

export interface GraphOptimum {
  /** Best first, each on other resources; never empty. */
  plans: GraphPlan[]
  /** Everything on one resource, for each that the source has a link to; constraints do not apply. */
  native: GraphPlan[]
  why: string
  /** No plan is better than the first by more than this share of its value; 0: it is the best. */
  gap: number
  /** Costs that the plans do not include. */
  notes: string[]
}

/**
 * The best plan of each route, `query.top` of them at most.
 * @param now a clock in milliseconds, for `timeLimitMs`.
 * @throws ScissionError as `optimise` does; badRequest for what the graph view does not plan (codecs, throughput as the
 * objective, Pareto fronts, sensitivity); infeasible with `details.conflict`; deadlineExceeded if no plan was found in time.
 * @example optimiseGraph(problem, { objective: 'latency', top: 3, cuts: 'any' }).plans[0].deployable
 */
export function optimiseGraph(
  problem: GraphProblem,
  query: OptimiserQuery,
  now: () => number = () => performance.now(),
): GraphOptimum {
  refuseUnsupported(query)
  checkProblem(problem)
  checkQuery(problem, query)
  // The graph view sends tensors as they are, whichever codecs the query allows.
  const constraints = allConstraintsOf(problem, { ...query, codecs: undefined })
  const solver = new GraphSolver(problem, query, constraints, now)
  const { instance } = solver
  const found = solver.solve()
  const plans = found.plans.map(({ plan }) => plan)
  const first = found.plans[0]
  if (first === undefined) {
    if (!instance.runners.some(({ profile }) => profile !== undefined))
      throw new ScissionError('notMeasured', 'no resource can run the model: benchmark the model on one')
    if (found.bound < Infinity) throw query.timeLimitMs === undefined ? gaveUp() : tooLate(query)
    throw explainInfeasible(solver, constraints)
  }
  const native = nativeGraphPlans(instance)
  return {
    plans,
    native,
    why: explain({
      query,
      constraints,
      plans,
      native,
      // It would take another, harder search; the list names it only if it is the best of another route.
      bestSplit: () => undefined,
      best: (others) => solver.best(others),
      bestNative: (alone) => solver.bestNative(alone),
    }),
    gap: gapOf(first.value, found.bound),
    notes: notesOf(instance),
  }
}

function gaveUp(): ScissionError {
  return new ScissionError(
    'deadlineExceeded',
    `the graph view found no plan in ${MAX_STEPS} steps or ${MAX_MS / 1000} s, and it is not known whether there is ` +
      'one: give timeLimitMs to search that long, or ask with view=chain, which proves it',
    { field: 'timeLimitMs' },
  )
}

function refuseUnsupported({ objective, pareto, codecs, weights, sensitivity }: OptimiserQuery): void {
  const refuse = (field: string, why: string) => {
    throw new ScissionError('badRequest', `${field}: ${why}`, { field })
  }
  const slowest = 'the graph view makes sums small, not the slowest step: bound that by minThroughput'
  if (objective === 'throughput' && pareto === undefined) refuse('objective', slowest)
  if (objective === 'weighted' && (weights?.throughput ?? 0) > 0)
    refuse('weights', `of throughput: ${slowest}`)
  if (pareto !== undefined) refuse('pareto', 'fronts are planned with view=chain')
  if (sensitivity) refuse('sensitivity', 'is worked out for view=chain')
  if (codecs?.some((codec) => codec !== 'none'))
    refuse('codecs', 'the graph view sends tensors as they are: plan codecs with view=chain')
}

function gapOf(value: number, bound: number): number {
  if (bound >= value) return 0
  return Math.min(1, Math.max(0, (value - bound) / Math.abs(value)))
}

function notesOf({ runners }: GraphInstance): string[] {
  const charged = runners.filter(({ profile }) =>
    [...(profile?.enterMs ?? []), ...(profile?.exitMs ?? [])].some((ms) => ms !== 0),
  )
  if (charged.length === 0) return []
  const names = [...new Set(charged.map(({ resource }) => resource.name))].join(', ')
  return [
    `the graph view charges the sum of the layers' times: what a stage costs more because it begins or ends at a ` +
      `boundary (measured on ${names}) is in the chain view only`,
  ]
}
