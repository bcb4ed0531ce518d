/** One search of the graph view, and its placements as plans. */
import type { GraphPlan } from '../../contracts/graph-plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import { evaluateGraphPlan, type Station } from '../evaluate/evaluate-graph-plan.ts'
import type { Incumbent } from './graph-incumbent.ts'
import { type Path, pathsOf } from './routes.ts'
import { type Found, searchGraph, type SearchOptions } from './branch-and-bound.ts'
import type { World } from './graph-instance.ts'
import { objectiveOf } from '../objective/objectives.ts'

export interface Attempt {
  /** Best first, each on other places. */
  plans: { value: number; plan: GraphPlan }[]
  /** No plan that was not found is better; Infinity: there are no others, or none within the latency asked for. */
  bound: number
}

export interface AttemptOptions extends Pick<SearchOptions, 'isAnyEnough' | 'isOver'> {
  /** A plan to begin with. */
  incumbent?: ((paths: readonly Path[]) => Incumbent | undefined) | undefined
}

/** Search and evaluation add the same numbers in another order; a larger relative difference is a bug. */
const AGREEMENT = 1e-9

export function attempt(world: World, { incumbent, ...options }: AttemptOptions): Attempt {
  const { query } = world
  const paths = pathsOf(world)
  const latest = (query.maxLatencyMs ?? Infinity) * (1 + AGREEMENT)
  // When latency is the objective its limit is none of the search's own: no plan beyond it counts.
  const most = query.objective === 'latency' ? latest : Infinity
  const { found, bound } = searchGraph(world, paths, {
    ...options,
    incumbent: incumbent?.(paths),
    top: query.top,
    most,
  })
  const plans = found
    .map((one) => ({ value: one.solved.value, plan: planOf(world, one) }))
    .filter(({ plan }) => plan.predictedMs <= latest)
  return { plans, bound: bound > most ? Infinity : bound }
}

/** True where no plan is better than the best found, or none was found and there is none. */
export function isSettled({ plans, bound }: Attempt): boolean {
  const [best] = plans
  return best ? bound >= best.value * (1 - AGREEMENT) : bound === Infinity
}

function planOf(world: World, { path, solved }: Found): GraphPlan {
  const placement = Uint8Array.from(world.graph.groupOf, (group) => solved.placement[group]!)
  const plan = evaluateGraphPlan(world.problem, world.query, stationsOf(world, path), placement)
  const expected = objectiveOf(plan, world.query)
  const difference = Math.abs(expected - solved.value)
  if (difference <= AGREEMENT * Math.max(expected, solved.value)) return plan
  throw new ScissionError(
    'internal',
    `a graph plan costs ${solved.value} in the search but ${expected} when evaluated`,
  )
}

function stationsOf(world: World, { places }: Pick<Path, 'places'>): Station[] {
  return places.map((place) => {
    const { resource, profile, chosenOptions } = world.places[place]!
    return { resource, profile, options: chosenOptions ? profile?.options : undefined }
  })
}

/** Everything on one resource, for each that the source has a link to; constraints do not apply. */
export function nativeGraphPlans(world: World): GraphPlan[] {
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
