/**
 * A problem and a question as numbers: the runners (a resource with one of its sets of runtime options), the cost of each
 * group of layers on each runner, the cost of each link, and the limits of the search.
 *
 * A stage of a graph plan is charged the sum of its layers' times, times slowdown. The cost of beginning or ending a stage
 * at a boundary (a profile's enterMs and exitMs) is measured for boundaries of the chain only, and is not charged here: a
 * stage that takes one branch and leaves the other begins at no boundary.
 */
import type { GraphRunner } from '../evaluate/evaluate-graph-plan.ts'
import {
  crossingCost,
  stageBound,
  sum,
  chosenOptions,
  type Figures,
  type GraphProblem,
  type PlanningProfile,
  profilesOf,
  resourceNamed,
} from '../problem/problem.ts'
import {
  confidenceOf,
  type Constraint,
  type LimitIndex,
  type SearchLimits,
  searchLimitsOf,
} from '../limits/constraints.ts'
import type { Goal } from '../objective/objectives.ts'
import { type CompiledGraph, compileGraph } from './compile-graph.ts'

export interface RunnerCosts extends GraphRunner {
  /** Index of the resource. */
  at: number
  /** Rank of its tier. */
  rank: number
  /** Per group, ms at the instance's confidence. */
  ms: Float64Array
  /** ms of a request whatever layers it holds; at the source also if it holds none. */
  fixedMs: number
}

/** Cost of a link: `fixedMs` there and back, plus `msPerByte` for the request. */
export interface LinkCost {
  fixedMs: number
  msPerByte: number
}

/** The best cut of one link: 1 for the nodes beyond it, and the value that it adds to the objective. */
export interface LinkCut {
  beyond: Uint8Array
  value: number
}

export interface GraphInstance {
  problem: GraphProblem
  graph: CompiledGraph
  goal: Goal
  confidence: 'median' | 'upper'
  figures: Figures
  limits: SearchLimits
  /** The source first, then the resources of later tiers. */
  index: LimitIndex
  runners: RunnerCosts[]
  /** Indices of the source's runners. */
  starts: number[]
  /** `[from][to]` by runner; undefined if there is no link or the tier is not later. */
  links: (LinkCost | undefined)[][]
  /** Cuts of single links that several routes share (link-cuts.ts). */
  cuts: Map<string, LinkCut>
}

/** A question about a problem: an objective and constraints. */
export interface Question {
  goal: Goal
  constraints: readonly Constraint[]
}

/** @param source name of one of the problem's resources. @param figures that count for the query. */
export function graphInstanceOf(
  problem: GraphProblem,
  source: string,
  figures: Figures,
  { goal, constraints }: Question,
): GraphInstance {
  const confidence = confidenceOf(constraints)
  const graph = compileGraph(problem.structure, isCleanOnly(constraints))
  const start = resourceNamed(problem, source)
  const later = problem.resources
    .filter(({ tierIndex }) => tierIndex > start.tierIndex)
    .sort((a, b) => a.tierIndex - b.tierIndex || (a.name < b.name ? -1 : 1))
  const tiers = tiersOf(problem)
  const runners = [start, ...later].flatMap((resource, at) => {
    const profiles: (PlanningProfile | undefined)[] = profilesOf(problem, resource)
    // A source that cannot run the model can still send the input on.
    if (at === 0 && profiles.length === 0) profiles.push(undefined)
    const rank = tiers.indexOf(resource.tier)
    return profiles.map((profile): RunnerCosts => {
      const { ms, fixedMs } = costsOf(profile, resource.slowdown, graph, confidence)
      const options = profile && chosenOptions(problem, resource, profile)
      return { resource, profile, options, at, rank, ms, fixedMs }
    })
  })
  const index: LimitIndex = {
    structure: problem.structure,
    tiers,
    codecs: [],
    resources: [start, ...later].map(({ name, tier }, at) => ({
      name,
      tier,
      rank: tiers.indexOf(tier),
      runners: runners.filter((runner) => runner.at === at && runner.profile !== undefined),
    })),
  }
  return {
    problem,
    graph,
    goal,
    confidence,
    figures,
    limits: searchLimitsOf(index, constraints),
    index,
    runners,
    starts: [...runners.keys()].filter((runner) => runners[runner]!.at === 0),
    links: linksOf(problem, runners, confidence),
    cuts: new Map(),
  }
}

/** The instance for another question: parts that do not depend on the question are reused. */
export function withQuestion(instance: GraphInstance, question: Question): GraphInstance {
  const { problem, figures, index, limits: before } = instance
  const { goal, constraints } = question
  const isSame =
    isCleanOnly(constraints) === before.clean && confidenceOf(constraints) === instance.confidence
  if (!isSame) return graphInstanceOf(problem, sourceIn(instance), figures, question)
  const limits = searchLimitsOf(index, constraints)
  const cuts = limits.firstLayers === before.firstLayers ? instance.cuts : new Map<string, LinkCut>()
  return { ...instance, goal, limits, cuts }
}

/** Name of the resource that has the input. */
function sourceIn({ runners, starts }: GraphInstance): string {
  return runners[starts[0]!]!.resource.name
}

function isCleanOnly(constraints: readonly Constraint[]): boolean {
  return constraints.some(({ kind }) => kind === 'cuts')
}

/** ms of each group, and per stage; 0 without a profile. */
function costsOf(
  profile: PlanningProfile | undefined,
  slowdown: number,
  graph: CompiledGraph,
  confidence: 'median' | 'upper',
): Pick<RunnerCosts, 'ms' | 'fixedMs'> {
  const ms = new Float64Array(graph.groups)
  if (profile === undefined) return { ms, fixedMs: 0 }
  const bound = stageBound(profile, confidence)
  const factor = slowdown * bound.factor
  profile.layerMs.forEach((layerMs, layer) => {
    ms[graph.groupOf[layer]!]! += layerMs * factor
  })
  return { ms, fixedMs: bound.fixedMs * slowdown }
}

/** Names of the tiers, in order. */
function tiersOf({ resources }: GraphProblem): string[] {
  const inOrder = resources.toSorted((a, b) => a.tierIndex - b.tierIndex)
  return [...new Set(inOrder.map(({ tier }) => tier))]
}

function linksOf(
  problem: GraphProblem,
  runners: readonly RunnerCosts[],
  confidence: 'median' | 'upper',
): GraphInstance['links'] {
  const answerBytes = sum(problem.structure.outputs.map(({ bytes }) => bytes))
  const links = new Map(problem.links.map((link) => [`${link.from} ${link.to}`, link]))
  return runners.map(({ resource: from }) =>
    runners.map(({ resource: to }) => {
      const link = links.get(`${from.name} ${to.name}`)
      if (link === undefined || to.tierIndex <= from.tierIndex) return undefined
      return crossingCost(link, answerBytes, confidence)
    }),
  )
}
