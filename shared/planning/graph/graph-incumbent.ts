/**
 * The best chain plan as a plan of the graph view: where sums have limits it is mostly near the best, and a search that
 * begins with it drops more and is never stopped without a plan.
 */
import type { Plan } from '../../contracts/plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import type { Path } from './routes.ts'
import { type GraphProblem, sourceIn, type World } from './graph-instance.ts'
import { optimise } from '../chain/optimise.ts'
import { sameOptions } from '../problem/options.ts'

export interface Incumbent {
  path: Path
  /** Per group its place. */
  placement: Uint8Array
}

/** Of the time limit, the share that finding the chain plan may take, and what it may take at least. */
const SHARE = 0.25
const LEAST_MS = 50

/** Undefined when there is no limit on a sum or on time, or no chain plan keeps them all. */
export function chainIncumbent(
  world: World,
  paths: readonly Path[],
  now: () => number,
): Incumbent | undefined {
  const { timeLimitMs, ...query } = world.query
  if (timeLimitMs === undefined && !paths.some(({ budgets }) => budgets.length > 0)) return undefined
  try {
    const asked = {
      ...query,
      source: sourceIn(world),
      top: 1,
      codecs: [],
      ...(timeLimitMs === undefined ? {} : { timeLimitMs: Math.max(LEAST_MS, timeLimitMs * SHARE) }),
    }
    const { plans } = optimise(asGraphCharges(world.problem), asked, now)
    return plans[0] && asPlacement(world, paths, plans[0])
  } catch (error) {
    // The graph may hold a plan where the chain has none, and the search begins without one then.
    if (error instanceof ScissionError && WITHOUT_PLAN.has(error.code)) return undefined
    throw error
  }
}

const WITHOUT_PLAN: ReadonlySet<string> = new Set(['infeasible', 'notMeasured', 'deadlineExceeded'])

/** For the chain view: without what a stage costs more because of where it begins and ends (graph-world.ts), or codecs. */
export function asGraphCharges(problem: GraphProblem): GraphProblem {
  const profiles = problem.profiles.map((profile) => ({ ...profile, enterMs: undefined, exitMs: undefined }))
  return { ...problem, profiles, codecs: [] }
}

function asPlacement(world: World, paths: readonly Path[], plan: Plan): Incumbent | undefined {
  const isPlace = (place: number, { resource, options }: Plan['stages'][number]) => {
    const { resource: at, profile, chosenOptions } = world.places[place]!
    const same = options ? sameOptions(profile?.options, options) : !chosenOptions
    return at.name === resource && same
  }
  const runsOnSource = plan.stages[0]?.resource === plan.source
  const offset = runsOnSource ? 0 : 1
  const path = paths.find(
    ({ places, sourceRuns }) =>
      sourceRuns !== !runsOnSource &&
      places.length === plan.stages.length + offset &&
      plan.stages.every((stage, at) => isPlace(places[at + offset]!, stage)),
  )
  if (path === undefined) return undefined
  const placement = new Uint8Array(world.graph.groups)
  plan.stages.forEach(({ from, to }, at) => {
    for (let layer = from; layer < to; layer += 1) placement[world.graph.groupOf[layer]!] = at + offset
  })
  const isWithin = placement.every((place, group) => place >= path.low[group]! && place <= path.high[group]!)
  return isWithin ? { path, placement } : undefined
}
