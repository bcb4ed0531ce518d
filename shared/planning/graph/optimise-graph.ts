/**
 * Graph view: each layer at its own place along a way of resources, as long as no tensor goes back. Unlike a cut of the
 * chain, a cut of the graph may pass through parallel branches.
 *
 *   problem + query ── graph-world.ts ──▶ numbers ── graph-paths.ts ──▶ ways with limits ── graph-search.ts ──▶ plans
 *
 * Exact for every objective that is a sum (latency, bytes, energy, price, weighted) under every constraint on
 * resources and layers: one minimum cut per way. Limits on sums are kept exactly too; the proof that nothing better
 * keeps them may take long, and the answer says by how much a better plan could be better when it was not finished.
 */
import type { GraphPlan } from '../../contracts/graph-plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import { checkQuery } from '../limits/check-query.ts'
import { explainInfeasible, tooLate } from '../explain/conflict.ts'
import { alone, explain } from '../explain/explain.ts'
import { GraphAsked, graphConstraints } from './graph-solver.ts'
import { attempt, nativeGraphPlans } from './graph-attempt.ts'
import { chainIncumbent } from './graph-incumbent.ts'
import { type GraphProblem, type GraphQuery, type World, worldOf } from './graph-instance.ts'
import { sourceOf } from '../problem/problem.ts'
import { checkOnce } from '../chain/solver.ts'

export type { GraphProblem, GraphQuery } from './graph-instance.ts'

export interface GraphOptimum {
  /** Best first, each on other resources; never empty. */
  plans: GraphPlan[]
  /** Everything on one resource, for each that the source has a link to; constraints do not apply. */
  native: GraphPlan[]
  why: string
  /** No plan is better than the first by more than this share of its value; 0: it is the best. */
  gap: number
  /** What the numbers leave out. */
  notes: string[]
}

/** Without a time limit: domains looked into, and ms at most. */
const MOST_STEPS = 5000
const MOST_MS = 30_000

/**
 * The best plan on each set of places, `query.top` of them at most.
 * @param now ms of a clock, for `timeLimitMs`.
 * @throws ScissionError as `optimise` does; badRequest for what the graph view does not plan (codecs, throughput as
 * the objective, fronts); infeasible with `details.conflict`; deadlineExceeded when none was found in time.
 */
export function optimiseGraph(
  problem: GraphProblem,
  query: GraphQuery,
  now: () => number = () => performance.now(),
): GraphOptimum {
  refuseUnsupported(query)
  checkOnce(problem)
  checkQuery(problem, query)
  const end = now() + (query.timeLimitMs ?? MOST_MS)
  const isLate = () => now() >= end
  const mostSteps = query.timeLimitMs === undefined ? MOST_STEPS : Infinity
  const world = worldOf(problem, query, sourceOf(problem.resources, query.source))
  const found = attempt(world, {
    isOver: (steps) => steps >= mostSteps || isLate(),
    incumbent: (paths) => chainIncumbent(world, paths, now),
  })
  const plans = found.plans.map(({ plan }) => plan)
  const first = found.plans[0]
  const constraints = graphConstraints(query)
  const asked = new GraphAsked(world, isLate)
  if (first === undefined) {
    if (!world.places.some(({ profile }) => profile !== undefined))
      throw new ScissionError('notMeasured', 'no resource can run the model: benchmark the model on one')
    if (found.bound < Infinity) throw query.timeLimitMs === undefined ? gaveUp() : tooLate(query)
    throw explainInfeasible(asked, constraints)
  }
  const native = nativeGraphPlans(world)
  const gap = gapOf(first.value, found.bound)
  return {
    plans,
    native,
    why: explain({
      query,
      constraints,
      plans,
      native,
      // Another whole search, and a harder one; the list names it only where it is another way's best.
      bestSplit: () => undefined,
      bestAlone: () => asked.bestAlone(alone(constraints)),
      best: (demands) => asked.best(demands),
    }),
    gap,
    notes: notesOf(world),
  }
}

function gaveUp(): ScissionError {
  return new ScissionError(
    'deadlineExceeded',
    `the graph view found no plan in ${MOST_STEPS} steps or ${MOST_MS / 1000} s, and it is not known whether there is ` +
      'one: give timeLimitMs to search that long, or ask with view=chain, which proves it',
    { field: 'timeLimitMs' },
  )
}

function refuseUnsupported({ objective, pareto, codecs, weights, sensitivity }: GraphQuery): void {
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

function notesOf(world: World): string[] {
  const charged = world.places.filter(({ profile }) =>
    [...(profile?.enterMs ?? []), ...(profile?.exitMs ?? [])].some((ms) => ms !== 0),
  )
  if (charged.length === 0) return []
  const names = [...new Set(charged.map(({ resource }) => resource.name))].join(', ')
  return [
    `the graph view charges the sum of the layers' times: what a stage costs more because it begins or ends at a ` +
      `boundary (measured on ${names}) is in the chain view only`,
  ]
}
