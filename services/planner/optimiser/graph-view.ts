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
import { OBJECTIVES, type Objective } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/errors.ts'
import { checkQuery } from './check-query.ts'
import { tooLate } from './conflict.ts'
import { evaluateGraphPlan, type GraphPlan, type Station } from './graph-evaluate.ts'
import { chainIncumbent } from './graph-incumbent.ts'
import { explainNoGraphPlan } from './graph-conflict.ts'
import { type Path, pathsOf } from './graph-paths.ts'
import { type Found, searchGraph } from './graph-search.ts'
import { type GraphProblem, type GraphQuery, type World, worldOf } from './graph-world.ts'
import { sourceOf } from './problem.ts'
import { checkOnce } from './solver.ts'

export type { GraphPlan, GraphStage, GraphTransfer } from './graph-evaluate.ts'
export type { GraphProblem, GraphQuery } from './graph-world.ts'

export interface GraphOptimum {
  /** Best first, each on other resources; never empty. */
  plans: GraphPlan[]
  /** Everything on one resource, for each that the source has a link to; constraints do not apply. */
  native: GraphPlan[]
  /** No plan is better than the first by more than this share of its value; 0: it is the best. */
  gap: number
  /** What the numbers leave out. */
  notes: string[]
}

/** Domains looked into without a time limit. */
const MOST_STEPS = 5000

/** Search and evaluation add the same numbers in another order; a larger relative difference is a bug. */
const AGREEMENT = 1e-9

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
  const began = now()
  const limit = query.timeLimitMs
  const isOver = (steps: number) => (limit === undefined ? steps >= MOST_STEPS : now() - began >= limit)
  const { world, plans, bound } = attempt(problem, query, isOver, now)
  const first = plans[0]
  if (first === undefined) {
    if (!world.places.some(({ profile }) => profile !== undefined))
      throw new ScissionError('notMeasured', 'no resource can run the model: benchmark the model on one')
    if (bound < Infinity) throw limit === undefined ? gaveUp() : tooLate(query)
    throw explainNoGraphPlan(query, (less) => hasPlan(attempt(problem, less, isOver, now)))
  }
  return {
    plans: plans.map(({ plan }) => plan),
    native: nativePlans(world),
    gap: gapOf(first.value, bound),
    notes: notesOf(world),
  }
}

function gaveUp(): ScissionError {
  return new ScissionError(
    'deadlineExceeded',
    `the graph view found no plan in ${MOST_STEPS} steps, and it is not known whether there is one: give timeLimitMs ` +
      'to search that long, or ask with view=chain, which proves it',
    { field: 'timeLimitMs' },
  )
}

interface Attempt {
  world: World
  plans: { value: number; plan: GraphPlan }[]
  /** No plan that was not found is better; Infinity: there are no others, or none within the latency asked for. */
  bound: number
}

function attempt(
  problem: GraphProblem,
  query: GraphQuery,
  isOver: (steps: number) => boolean,
  now: () => number,
): Attempt {
  const source = sourceOf(problem.resources, query.source)
  const world = worldOf(problem, query, source)
  const paths = pathsOf(world)
  const incumbent = chainIncumbent(world, paths, source, now)
  const { found, bound } = searchGraph(world, paths, { incumbent, top: query.top, isOver })
  const most = (query.maxLatencyMs ?? Infinity) * (1 + AGREEMENT)
  const plans = found
    .map((one) => ({ value: one.solved.value, plan: planOf(world, one) }))
    .filter(({ plan }) => plan.predictedMs <= most)
  // When latency is the objective its limit is none for the search: no plan beyond it counts.
  const isBeyond = query.objective === 'latency' && bound > most
  return { world, plans, bound: isBeyond ? Infinity : bound }
}

function hasPlan({ plans, bound }: Attempt): boolean | undefined {
  if (plans.length > 0) return true
  return bound === Infinity ? false : undefined
}

function refuseUnsupported({ objective, pareto, codecs, weights, sensitivity }: GraphQuery): void {
  const refuse = (field: string, why: string) => {
    throw new ScissionError('badRequest', `${field}: ${why}`, { field })
  }
  if (objective === 'throughput' || (objective === 'weighted' && (weights?.throughput ?? 0) > 0))
    refuse('objective', 'the graph view makes sums small, not the slowest step: bound that by minThroughput')
  if (pareto !== undefined) refuse('pareto', 'fronts are planned with view=chain')
  if (sensitivity) refuse('sensitivity', 'is worked out for view=chain')
  if (codecs?.some((codec) => codec !== 'none'))
    refuse('codecs', 'the graph view sends tensors as they are: plan codecs with view=chain')
}

function gapOf(value: number, bound: number): number {
  if (bound >= value) return 0
  return Math.min(1, Math.max(0, (value - bound) / Math.abs(value)))
}

function planOf(world: World, { path, solved }: Found): GraphPlan {
  const placement = Uint8Array.from(world.graph.groupOf, (group) => solved.placement[group]!)
  const plan = evaluateGraphPlan(world.problem, world.query, stationsOf(world, path), placement)
  const expected = costOf(world.query, plan)
  const difference = Math.abs(expected - solved.value)
  if (difference <= AGREEMENT * Math.max(expected, solved.value)) return plan
  throw new ScissionError(
    'internal',
    `a graph plan costs ${solved.value} in the search but ${expected} when evaluated`,
  )
}

/** What the objective makes small. */
function costOf({ objective, weights: given }: GraphQuery, plan: GraphPlan): number {
  const weights: Partial<Record<Objective, number>> = given ?? {}
  const costs = {
    latency: plan.predictedMs,
    throughput: plan.bottleneckMs,
    bytes: plan.bytes,
    energy: plan.energyJ ?? 0,
    price: plan.price ?? 0,
  }
  if (objective !== 'weighted') return costs[objective]
  return OBJECTIVES.reduce((sum, name) => sum + (weights[name] ?? 0) * costs[name], 0)
}

function stationsOf(world: World, { places }: Pick<Path, 'places'>): Station[] {
  return places.map((place) => {
    const { resource, profile, chosenOptions } = world.places[place]!
    return { resource, profile, options: chosenOptions ? profile?.options : undefined }
  })
}

function nativePlans(world: World): GraphPlan[] {
  const placement = new Uint8Array(world.problem.structure.layers.length)
  const evaluate = (places: number[], at: number) =>
    evaluateGraphPlan(world.problem, world.query, stationsOf(world, { places }), placement.fill(at))
  const start = world.starts[0]!
  return world.places.flatMap(({ profile, chosenOptions }, place) => {
    if (profile === undefined || chosenOptions) return []
    if (world.starts.includes(place)) return [evaluate([place], 0)]
    return world.crossings[start]![place] ? [evaluate([start, place], 1)] : []
  })
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
