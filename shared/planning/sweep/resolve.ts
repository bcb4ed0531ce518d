/** The best plan, and the cost of a given plan, under changed conditions: the questions of sweeps and of sensitivity. */
import { parsePlanId } from '../../contracts/plan-id.ts'
import type { Plan } from '../../contracts/plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import { compileProblem } from '../chain/chain.ts'
import { ChainSolver, optimise } from '../chain/optimise.ts'
import { evaluatePlan } from '../evaluate/evaluate-plan.ts'
import { checkProblem } from '../limits/checks.ts'
import type { OptimiserQuery } from '../limits/constraints.ts'
import { allConstraintsOf } from '../limits/serving-limits.ts'
import { objectiveOf } from '../objective/objectives.ts'
import { figuresFor, type Problem } from '../problem/problem.ts'

/** The value of the objective, and the latency, which decides between plans of equal value. */
export interface Cost {
  value: number
  latencyMs: number
}

export interface BestPlan extends Cost {
  plan: Plan
}

/**
 * The best plan for a query, with all checks of `optimise`; undefined if no plan satisfies the constraints. To be called
 * once, before `solveBest`.
 * @throws ScissionError as `optimise` does, except infeasible.
 */
export function solveFirst(problem: Problem, query: OptimiserQuery): BestPlan | undefined {
  try {
    const [plan] = optimise(problem, { ...query, top: 1 }).plans
    return plan && { plan, ...costOf(plan, query) }
  } catch (error) {
    if (error instanceof ScissionError && error.code === 'infeasible') return undefined
    throw error
  }
}

/** The same without explanation, for a query that `solveFirst` has checked. No time limit applies. */
export function solveBest(problem: Problem, query: OptimiserQuery): BestPlan | undefined {
  checkProblem(problem)
  const solver = new ChainSolver(compileProblem(problem, query.source), query)
  const constraints = allConstraintsOf(problem, query, solver.compiled.lossy)
  const [candidate] = solver.best(constraints, 1).candidates
  if (!candidate) return undefined
  const plan = solver.priced(candidate, constraints)
  return { plan, ...costOf(plan, query) }
}

/** The cost of a plan under the problem's conditions, whether or not the query allows it there. */
export function reprice(problem: Problem, query: OptimiserQuery, plan: Plan): Cost {
  return costOf(evaluated(problem, query, plan), query)
}

/** The plan priced under the problem's conditions. */
export function evaluated(problem: Problem, query: OptimiserQuery, plan: Plan): Plan {
  const figures = figuresFor(problem, query)
  return evaluatePlan(problem, parsePlanId(plan.id), { confidence: query.confidence, figures })
}

function costOf(plan: Plan, query: OptimiserQuery): Cost {
  return { value: objectiveOf(plan, query), latencyMs: plan.predictedMs }
}

/** @throws ScissionError badRequest for queries that conditions cannot be varied for. @param what names the caller's result. */
export function refuseUnmappable(query: OptimiserQuery & { view?: 'chain' | 'graph' }, what: string): void {
  const refuse = (field: string, why: string) =>
    new ScissionError('badRequest', `${field}: ${what} ${why}`, { field })
  if (query.pareto) throw refuse('pareto', 'compares single plans: give an objective instead of a front')
  if (query.view === 'graph') throw refuse('view', 'is worked out for plans of the chain only')
  if (query.timeLimitMs !== undefined)
    throw refuse('timeLimitMs', 'is proven or not given: it takes no time limit')
}

/** A query without its limits that depend on the conditions. */
export interface RelaxedQuery {
  query: OptimiserQuery
  /** True if it had such limits. */
  limited: boolean
}

/**
 * Drops the limits that depend on the conditions. Without them the set of plans is the same everywhere and the least cost a
 * concave function; a plan that is best without them and keeps them is best with them.
 * @param slowed resources whose slowdown changes; links may change in any case.
 * @returns undefined if costs are not linear in the conditions.
 */
export function relax(
  problem: Problem,
  query: OptimiserQuery,
  slowed: readonly string[],
): RelaxedQuery | undefined {
  const { objective, weights } = query
  if (objective === 'throughput') return undefined
  if (objective === 'weighted' && (weights?.throughput ?? 0) > 0) return undefined
  const tiers = new Set(problem.resources.filter(({ name }) => slowed.includes(name)).map(({ tier }) => tier))
  const { minThroughput, maxEnergyJ, maxPrice, maxTierMs = {}, maxTierShare, maxLatencyMs, ...rest } = query
  const onTiers = Object.entries(maxTierMs)
  const kept = {
    maxTierMs: Object.fromEntries(onTiers.filter(([tier]) => !tiers.has(tier))),
    ...(slowed.length === 0 && { maxTierShare }),
    // If latency is the objective, the best plan keeps the limit or none does (cells.ts).
    ...(objective === 'latency' && { maxLatencyMs }),
  }
  const dropped = [
    minThroughput,
    maxEnergyJ,
    maxPrice,
    onTiers.find(([tier]) => tiers.has(tier)),
    slowed.length > 0 ? maxTierShare : undefined,
    objective === 'latency' ? undefined : maxLatencyMs,
  ]
  return { query: { ...rest, ...kept }, limited: dropped.some((limit) => limit !== undefined) }
}

/** True if costs are linear in such conditions and the set of plans does not depend on them. */
export function isConcave(problem: Problem, query: OptimiserQuery, slowed: readonly string[]): boolean {
  return relax(problem, query, slowed)?.limited === false
}

/** Share of a limit within which a plan surely keeps it; nearer to the limit, only the optimiser decides. */
const SURE_SHARE = 1 - 1e-9

/**
 * True if a plan surely keeps the query's limits on times, energy and price. Encoding and decoding count as compute here, so
 * the answer may be false for a plan that just keeps a limit.
 */
export function surelyKeepsLimits(plan: Plan, query: OptimiserQuery): boolean {
  const { maxTierMs = {}, maxTierShare = {}, maxLatencyMs, minThroughput, maxEnergyJ, maxPrice } = query
  const within = (value: number, limit: number | undefined) =>
    limit === undefined || value <= limit * SURE_SHARE
  return (
    within(plan.predictedMs, maxLatencyMs) &&
    within(plan.bottleneckMs, minThroughput === undefined ? undefined : 1000 / minThroughput) &&
    within(plan.energyJ ?? 0, maxEnergyJ) &&
    within(plan.price ?? 0, maxPrice) &&
    plan.stages.every(({ tier, resource, computeMs }) => {
      const coding = plan.transfers.reduce(
        (sum, { from, to, encodeMs, decodeMs }) =>
          sum + (from === resource ? encodeMs : 0) + (to === resource ? decodeMs : 0),
        0,
      )
      const share = maxTierShare[tier]
      return (
        within(computeMs + coding, maxTierMs[tier]) &&
        within(computeMs + coding, share === undefined ? undefined : (share / 100) * plan.computeMs)
      )
    })
  )
}
