/**
 * The optimiser: from measured costs to the best plans, exactly. Pure: no files, no sockets, no clock.
 *
 *   Problem ── compile (chain.ts) ──▶ Chain ─┐
 *   query ─── constraintsOf ──▶ spaceOf ─────┴▶ boundsOf (costs to go) ──▶ bestCandidates ──▶ evaluatePlan ──▶ answer
 *
 * Chain view: stages are ranges of the canonical layer order, on resources of strictly later tiers. Throughput asks
 * the latency search for plans whose every step is short enough (throughput.ts).
 */
import type { Plan } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/errors.ts'
import { boundsOf, hopCost, planCount } from './bounds.ts'
import { type Chain, compile, type LeftOut } from './chain.ts'
import { explainInfeasible } from './conflict.ts'
import { checkQuery } from './check-query.ts'
import { type Constraint, constraintsOf, describe, type OptimiserQuery } from './constraints.ts'
import { evaluatePlan } from './evaluate.ts'
import { checkProblem, type Problem, sourceOf } from './problem.ts'
import { type Candidate, searchSpace } from './search.ts'
import { spaceOf } from './space.ts'
import { bestByThroughput } from './throughput.ts'
import { whyOf } from './why.ts'

export type { OptimiserQuery } from './constraints.ts'
export { evaluatePlan } from './evaluate.ts'
export type { Problem } from './problem.ts'

export interface Optimum {
  /** Best first: the objective, then latency, fewer stages, earlier resources, earlier cuts. Never empty. */
  plans: Plan[]
  /** The whole model on one resource, for each that the source has a link to; constraints do not apply. */
  native: Plan[]
  why: string
  /** Plans that satisfy the constraints (maxLatencyMs aside): the returned ones are the best of so many. */
  considered: number
  leftOut: LeftOut[]
}

/** Search and evaluation add the same numbers in another order; a larger relative difference is a bug. */
const AGREEMENT = 1e-9

/**
 * The `query.top` best plans for the query's objective under its constraints.
 * @throws ScissionError badRequest, notFound (what was given is not usable), notMeasured (nothing can run the model),
 * infeasible (`details.conflict` names a smallest set of constraints that no plan satisfies).
 */
export function optimise(problem: Problem, query: OptimiserQuery): Optimum {
  checkProblem(problem)
  checkQuery(problem, query)
  const source = sourceOf(problem.resources, query.source)
  const { chain, leftOut } = compile(problem, source)
  const constraints = constraintsOf(query)
  const price = (candidate: Candidate) => priced(problem, chain, candidate)
  const best = (demands: readonly Constraint[], top: number) =>
    find(chain, demands, query.objective, top).map(price)
  const plans = best(constraints, query.top).sort((a, b) => compare(query.objective, a, b))
  const winner = plans[0]
  if (winner === undefined) throw explainInfeasible(chain, constraints, leftOut)
  const native = nativeCandidates(chain).map(price)
  const demands = constraints.filter((constraint) => !isCuts(constraint))
  const why = whyOf({
    objective: query.objective,
    winner,
    native,
    bestSplit: plans.find((plan) => !plan.native) ?? best(splitOnly(constraints), 1)[0],
    unconstrained: demands.length > 0 ? best(constraints.filter(isCuts), 1)[0] : undefined,
    constraints: demands.map(describe),
    cleanCutsOnly: query.cuts === 'clean',
  })
  return { plans, native, why, considered: countOf(chain, constraints), leftOut }
}

function find(
  chain: Chain,
  constraints: readonly Constraint[],
  objective: OptimiserQuery['objective'],
  top: number,
): Candidate[] {
  if (objective === 'throughput') return bestByThroughput(chain, constraints, top)
  return searchSpace(chain, spaceOf(chain, constraints), top)
}

/** Orders by what evaluate.ts says: sums in another order may differ in the last digit. Stable for equals. */
function compare(objective: OptimiserQuery['objective'], a: Plan, b: Plan): number {
  if (objective === 'throughput' && a.bottleneckMs !== b.bottleneckMs) return a.bottleneckMs - b.bottleneckMs
  return a.predictedMs - b.predictedMs
}

function countOf(chain: Chain, constraints: readonly Constraint[]): number {
  const space = spaceOf(chain, constraints)
  return Math.min(planCount(chain, space, boundsOf(chain, space)), Number.MAX_SAFE_INTEGER)
}

function splitOnly(constraints: readonly Constraint[]): Constraint[] {
  return [...constraints, { kind: 'minStages', count: 2 }]
}

function isCuts({ kind }: Constraint): boolean {
  return kind === 'cuts'
}

/** Everything on one resource, in the order of resources. */
function nativeCandidates(chain: Chain): Candidate[] {
  return chain.resources.flatMap(({ prefixMs }, resource) => {
    if (prefixMs === null) return []
    const hopMs = resource === chain.source ? 0 : hopCost(chain, chain.source, resource, 0)
    if (hopMs === Infinity) return []
    const costMs = hopMs + prefixMs[chain.layers]!
    return [{ costMs, stages: [{ resource, from: 0, to: chain.layers }] }]
  })
}

/** The candidate as a plan, priced independently of the search. */
function priced(problem: Problem, chain: Chain, candidate: Candidate): Plan {
  const plan = evaluatePlan(problem, {
    model: problem.structure.model,
    shapesKey: problem.structure.shapesKey,
    source: chain.resources[chain.source]!.name,
    stages: candidate.stages.map((stage) => ({ ...stage, resource: chain.resources[stage.resource]!.name })),
  })
  const difference = Math.abs(plan.predictedMs - candidate.costMs)
  if (difference <= AGREEMENT * Math.max(plan.predictedMs, candidate.costMs)) return plan
  throw new ScissionError(
    'internal',
    `plan ${plan.id} costs ${candidate.costMs} ms in the search but ${plan.predictedMs} ms when evaluated`,
  )
}
