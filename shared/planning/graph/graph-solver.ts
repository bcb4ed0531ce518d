/**
 * The graph view for one query: its best plans, and the questions that explain an answer or the lack of one. Chain plans are
 * plans of the graph too: the best chain plan starts the search, and any chain plan proves that there is a plan. That there
 * is none, only the graph search can prove, within a number of steps.
 */
import type { GraphPlan } from '../../contracts/graph-plan.ts'
import type { Plan } from '../../contracts/plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import { compileProblem } from '../chain/chain.ts'
import { ChainSolver, TimeLimit } from '../chain/optimise.ts'
import { evaluateGraphPlan } from '../evaluate/evaluate-graph-plan.ts'
import { type FeasibilityOracle, limitKeptBy, type SufficientLimit } from '../explain/conflict.ts'
import type { Constraint, LimitConstraint, OptimiserQuery } from '../limits/constraints.ts'
import { type Goal, objectiveOf, THROUGHPUT } from '../objective/objectives.ts'
import { figuresFor, type GraphProblem, type LeftOut, sameOptions, sourceOf } from '../problem/problem.ts'
import { type Found, type Incumbent, searchGraph, type SearchOptions } from './branch-and-bound.ts'
import { type GraphInstance, graphInstanceOf, withQuestion } from './graph-instance.ts'
import { zeroForm } from './linear-forms.ts'
import { type GraphRoute, graphRoutesOf } from './routes.ts'

export interface GraphSolution {
  /** Best first, each on another route. */
  plans: { value: number; plan: GraphPlan }[]
  /** No plan that was not found is better. Infinity: there are no others, or none within the limit on latency. */
  bound: number
}

/** Limits without `timeLimitMs`: nodes expanded, and ms. */
export const MAX_STEPS = 5000
export const MAX_MS = 30_000

/** Nodes expanded for one question that explains an answer, and for all of them. */
const MAX_STEPS_PER_QUESTION = 300
const MAX_STEPS_OF_QUESTIONS = 20_000

/** Share of the time limit for finding the chain plan that starts the search, and its minimum. */
const CHAIN_SHARE = 0.25
const MIN_CHAIN_MS = 50

/** Search and evaluation add the same numbers in different orders; a larger relative difference is a bug. */
const AGREEMENT = 1e-9

/** Limits that bound one linear form on every route, so that a search can minimise it. */
const LINEAR: ReadonlySet<LimitConstraint['kind']> = new Set([
  'maxTierMs',
  'maxUploadBytes',
  'maxTotalUploadBytes',
  'maxLatencyMs',
  'maxEnergyJ',
  'maxPrice',
])

export class GraphSolver implements FeasibilityOracle {
  readonly instance: GraphInstance
  readonly maxStages: number
  readonly #query: OptimiserQuery
  readonly #constraints: readonly Constraint[]
  readonly #now: () => number
  readonly #end: number
  #charged: GraphProblem | undefined
  #untimedChain: ChainSolver | undefined
  #steps = 0

  /** @param now a clock in milliseconds. */
  constructor(
    problem: GraphProblem,
    query: OptimiserQuery,
    constraints: readonly Constraint[],
    now: () => number,
  ) {
    this.#end = now() + (query.timeLimitMs ?? MAX_MS)
    this.#now = now
    this.#query = query
    this.#constraints = constraints
    const source = sourceOf(problem.resources, query.source)
    const figures = figuresFor(problem, query)
    this.instance = graphInstanceOf(problem, source, figures, { goal: query, constraints })
    this.maxStages = this.instance.index.tiers.length
  }

  /** The best plans for the query. */
  solve(): GraphSolution {
    const { timeLimitMs, top } = this.#query
    const maxSteps = timeLimitMs === undefined ? MAX_STEPS : Infinity
    const routes = graphRoutesOf(this.instance)
    const isOver = (steps: number) => steps >= maxSteps || this.#isLate()
    return solveRoutes(this.instance, routes, { top, isOver, incumbent: this.#chainIncumbent(routes) })
  }

  /** The best plan under other constraints; undefined if none is proven to be the best. */
  best(constraints: readonly Constraint[]): GraphPlan | undefined {
    const solution = this.#within((isOver) => this.#solveFor(this.#query, constraints, { isOver }))
    const [best] = solution.plans
    return best && solution.bound >= best.value * (1 - AGREEMENT) ? best.plan : undefined
  }

  /** @param constraints allow one stage: each route has one placement then, so that no limit on steps is needed. */
  bestNative(constraints: readonly Constraint[]): GraphPlan | undefined {
    return this.#solveFor(this.#query, constraints, { isOver: () => false }).plans[0]?.plan
  }

  isFeasible(constraints: readonly Constraint[]): boolean | undefined {
    const found = this.#any(constraints)
    return found === undefined ? undefined : found !== 'none'
  }

  sufficientLimit(others: readonly Constraint[], constraint: LimitConstraint): SufficientLimit | undefined {
    const minimum = LINEAR.has(constraint.kind) ? this.#minimum(others, constraint) : undefined
    if (minimum) return minimum
    const slowest = constraint.kind === 'minThroughput' ? this.#chain.minimum(others, THROUGHPUT) : undefined
    if (slowest !== undefined) return { limit: 1000 / slowest, isTightest: false }
    const plan = this.#any(others)
    if (plan === undefined || plan === 'none') return undefined
    const { resources } = this.instance.problem
    return { limit: limitKeptBy(plan, constraint, resources), isTightest: false }
  }

  isOver(): boolean {
    return this.#steps >= MAX_STEPS_OF_QUESTIONS || this.#isLate()
  }

  /** As the chain view names them. */
  get leftOut(): readonly LeftOut[] {
    return this.#chain.leftOut
  }

  /** Some plan of either view; undefined if that was not found out. */
  #any(constraints: readonly Constraint[]): Plan | GraphPlan | 'none' | undefined {
    const chain = this.#chain
    const candidate = chain.any(constraints)
    if (candidate) return chain.priced(candidate, constraints)
    const goal: Goal = { ...this.#query, objective: 'latency' }
    const solution = this.#within((isOver) =>
      this.#solveFor(goal, constraints, { isOver, isAnyEnough: true }),
    )
    return solution.plans[0]?.plan ?? (solution.bound === Infinity ? 'none' : undefined)
  }

  /** The minimum of the form that a constraint limits: a search with that form as its objective. */
  #minimum(others: readonly Constraint[], constraint: LimitConstraint): SufficientLimit | undefined {
    // Under the objective latency, a limit on latency would be no side constraint.
    const goal: Goal = { ...this.#query, objective: 'bytes' }
    const instance = withQuestion(this.instance, { goal, constraints: [...others, constraint] })
    const name = 'name' in constraint ? `${constraint.kind}: ${constraint.name}` : constraint.kind
    const routes = graphRoutesOf(instance).map((route) => minimising(route, name))
    const { found, bound } = this.#within((isOver) => searchGraph(instance, routes, { isOver, top: 1 }))
    const value = found[0]?.solved.value
    return value === undefined ? undefined : { limit: value, isTightest: bound >= value * (1 - AGREEMENT) }
  }

  #solveFor(
    goal: Goal,
    constraints: readonly Constraint[],
    options: Pick<SearchOptions, 'isOver' | 'isAnyEnough'>,
  ): GraphSolution {
    const instance = withQuestion(this.instance, { goal, constraints })
    return solveRoutes(instance, graphRoutesOf(instance), { ...options, top: 1 })
  }

  /** Runs one search of a limited number of steps, and counts them. */
  #within<T>(search: (isOver: SearchOptions['isOver']) => T): T {
    let taken = 0
    const left = Math.min(MAX_STEPS_PER_QUESTION, MAX_STEPS_OF_QUESTIONS - this.#steps)
    const found = search((steps) => {
      taken = steps
      return steps >= left || this.#isLate()
    })
    this.#steps += taken
    return found
  }

  #isLate(): boolean {
    return this.#now() >= this.#end
  }

  /** The chain view for questions, without a time limit. */
  get #chain(): ChainSolver {
    this.#untimedChain ??= this.#chainSolver()
    return this.#untimedChain
  }

  /** A chain view of the problem that charges what the graph view does: no enterMs and exitMs, no codecs. */
  #chainSolver(timeLimit?: TimeLimit): ChainSolver {
    const { problem } = this.instance
    this.#charged ??= {
      ...problem,
      profiles: problem.profiles.map((profile) => ({ ...profile, enterMs: undefined, exitMs: undefined })),
      codecs: [],
    }
    const source = sourceOf(problem.resources, this.#query.source)
    return new ChainSolver(compileProblem(this.#charged, source), this.#query, timeLimit)
  }

  /**
   * The best chain plan. Under side constraints it is mostly near the best plan, so a search that begins with it prunes
   * more, and if it is stopped it has a plan. Undefined if there is no side constraint and no time limit, or no chain plan.
   */
  #chainIncumbent(routes: readonly GraphRoute[]): Incumbent | undefined {
    const { timeLimitMs } = this.#query
    if (timeLimitMs === undefined && !routes.some(({ sideConstraints }) => sideConstraints.length > 0))
      return undefined
    const ms = timeLimitMs === undefined ? undefined : Math.max(MIN_CHAIN_MS, timeLimitMs * CHAIN_SHARE)
    const chain = this.#chainSolver(new TimeLimit(ms, this.#now))
    const [candidate] = chain.best(this.#constraints, 1).candidates
    return candidate && incumbentFor(this.instance, routes, chain.priced(candidate, this.#constraints))
  }
}

function solveRoutes(
  instance: GraphInstance,
  routes: readonly GraphRoute[],
  options: SearchOptions,
): GraphSolution {
  const { goal, limits } = instance
  const maxLatencyMs = limits.sumLimits.find(({ kind }) => kind === 'latency')?.limit ?? Infinity
  const latest = maxLatencyMs * (1 + AGREEMENT)
  // If latency is the objective, its limit is no side constraint but a limit on the value.
  const maxValue = goal.objective === 'latency' ? latest : Infinity
  const { found, bound } = searchGraph(instance, routes, { ...options, maxValue })
  const plans = found
    .map((one) => ({ value: one.solved.value, plan: planOf(instance, one) }))
    .filter(({ plan }) => plan.predictedMs <= latest)
  return { plans, bound: bound > maxValue ? Infinity : bound }
}

/** @throws ScissionError internal if the evaluation does not agree with the search. */
function planOf(instance: GraphInstance, { route, solved }: Found): GraphPlan {
  const { groupOf } = instance.graph
  const placement = new Uint8Array(groupOf.length)
  for (let layer = 0; layer < placement.length; layer += 1)
    placement[layer] = solved.placement[groupOf[layer]!]!
  const plan = evaluated(instance, route.runners, placement)
  const expected = objectiveOf(plan, instance.goal)
  const difference = Math.abs(expected - solved.value)
  if (difference <= AGREEMENT * Math.max(expected, solved.value)) return plan
  throw new ScissionError(
    'internal',
    `a graph plan costs ${solved.value} in the search but ${expected} when evaluated`,
  )
}

function evaluated(instance: GraphInstance, runners: readonly number[], placement: Uint8Array): GraphPlan {
  const stops = runners.map((runner) => instance.runners[runner]!)
  return evaluateGraphPlan(instance.problem, stops, placement, instance)
}

/** Everything on one resource, for each that the source has a link to; constraints do not apply. */
export function nativeGraphPlans(instance: GraphInstance): GraphPlan[] {
  const placement = new Uint8Array(instance.problem.structure.layers.length)
  const { runners, starts, links } = instance
  const start = starts[0]!
  return runners.flatMap(({ profile, options }, runner) => {
    if (profile === undefined || options) return []
    if (starts.includes(runner)) return [evaluated(instance, [runner], placement.fill(0))]
    return links[start]![runner] ? [evaluated(instance, [start, runner], placement.fill(1))] : []
  })
}

/** The route with the form of a side constraint as its objective, and without that constraint; 0 if it has none. */
function minimising(route: GraphRoute, name: string): GraphRoute {
  const own = route.sideConstraints.find((constraint) => constraint.name === name)
  return {
    ...route,
    objective: own?.form ?? zeroForm(route.runners.length),
    sideConstraints: route.sideConstraints.filter((constraint) => constraint !== own),
    isPlain: false,
  }
}

/** A chain plan as a placement on its route; undefined if no route of the graph view has it. */
function incumbentFor(
  { graph, runners }: GraphInstance,
  routes: readonly GraphRoute[],
  plan: Plan,
): Incumbent | undefined {
  const runs = (runner: number, { resource, options }: Plan['stages'][number]) =>
    runners[runner]!.resource.name === resource && sameOptions(runners[runner]!.options, options)
  const sourceRuns = plan.stages[0]?.resource === plan.source
  const offset = sourceRuns ? 0 : 1
  const route = routes.find(
    (one) =>
      one.sourceRuns !== !sourceRuns &&
      one.runners.length === plan.stages.length + offset &&
      plan.stages.every((stage, at) => runs(one.runners[at + offset]!, stage)),
  )
  if (route === undefined) return undefined
  const placement = new Uint8Array(graph.groups)
  plan.stages.forEach(({ from, to }, at) => {
    for (let layer = from; layer < to; layer += 1) placement[graph.groupOf[layer]!] = at + offset
  })
  const isWithin = placement.every((stop, group) => stop >= route.low[group]! && stop <= route.high[group]!)
  return isWithin ? { route, placement } : undefined
}
