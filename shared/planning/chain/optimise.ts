/**
 * The chain view: from measured costs to the best plans, exactly.
 *
 *   problem ── compileProblem ──▶ Chain ────────────────┐
 *   query ── allConstraintsOf ──▶ searchLimitsOf ──▶ SearchSpace ──▶ search (routes, then cuts) ──▶ evaluatePlan ──▶ explain
 *
 * Stages are ranges of the canonical layer order, on resources of strictly later tiers. A plan decides the resources, the
 * cuts, the codec of every hop and, if a resource has several profiles, its runtime options.
 */
import type { Plan } from '../../contracts/plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import { evaluatePlan } from '../evaluate/evaluate-plan.ts'
import {
  explainInfeasible,
  type FeasibilityOracle,
  limitKeptBy,
  type SufficientLimit,
  tooLate,
} from '../explain/conflict.ts'
import { explain } from '../explain/why.ts'
import { checkProblem, checkQuery } from '../limits/checks.ts'
import {
  confidenceOf,
  type Constraint,
  type LimitConstraint,
  type OptimiserQuery,
  searchLimitsOf,
} from '../limits/constraints.ts'
import { allConstraintsOf } from '../limits/serving-limits.ts'
import {
  bestOf,
  type Criterion,
  criteriaOf,
  frontCriteria,
  limitCriterion,
  objectiveOf,
} from '../objective/objectives.ts'
import { type Figures, figuresFor, type LeftOut, type Problem } from '../problem/problem.ts'
import { type Chain, type CompiledProblem, compileProblem, NO_CODEC } from './chain.ts'
import type { Candidate } from './collectors.ts'
import { type Found, planCount, search, type Wanted } from './search.ts'
import { type ChainFigures, chainFiguresOf, SearchSpace } from './search-space.ts'

export interface Optimum {
  /**
   * Best first: objective, latency, fewer stages, earlier resources, earlier cuts. For a Pareto front: by its objectives in
   * order. Never empty.
   */
  plans: Plan[]
  /** The whole model on one resource, for each that the source has a link to; constraints do not apply. */
  native: Plan[]
  why: string
  /** Number of plans for the tiers, resources, cuts and codecs of the query; limits on costs and layers aside. */
  considered: number
  leftOut: LeftOut[]
  /** Number of plans on the Pareto front, if not all of them are listed. */
  frontSize?: number
  /** Set if the time limit was reached: no plan is better than the first by more than this share of its value. */
  gap?: number
}

/** Plans of a Pareto front that are listed. */
const MAX_ON_FRONT = 1000

/**
 * The `query.top` best plans for the query's objective under its constraints, or the Pareto front of `query.pareto`.
 * @param now a clock in milliseconds, for `query.timeLimitMs`.
 * @throws ScissionError badRequest, notFound (the problem or the query is not valid), notMeasured (no resource can run the
 * model), infeasible (`details.conflict` names a smallest set of constraints that no plan satisfies), deadlineExceeded (the
 * time limit was reached before any plan was found).
 * @example optimise(problem, { objective: 'latency', top: 5, cuts: 'clean', maxTierMs: { device: 20 } }).plans[0]
 */
export function optimise(problem: Problem, query: OptimiserQuery, now = () => performance.now()): Optimum {
  checkProblem(problem)
  checkQuery(problem, query)
  const compiled = compileProblem(problem, query.source)
  const solver = new ChainSolver(compiled, query, new TimeLimit(query.timeLimitMs, now))
  const constraints = allConstraintsOf(problem, query, compiled.lossy)
  const found = query.pareto ? solver.front(constraints) : solver.best(constraints, query.top, query.distinct)
  const plans = found.candidates
    .slice(0, MAX_ON_FRONT)
    .map((candidate) => solver.priced(candidate, constraints))
  if (!query.pareto) plans.sort((a, b) => compare(query, a, b))
  const winner = plans[0]
  if (winner === undefined)
    throw found.bound === undefined ? explainInfeasible(solver, constraints) : tooLate(query)
  const native = nativePlans(solver)
  const best = (others: readonly Constraint[]) => provenBest(solver, others)
  const listed = found.bound === undefined ? plans.find((plan) => !plan.native) : undefined
  return {
    plans,
    native,
    why: explain({
      query,
      constraints,
      plans,
      native,
      bestSplit: () => listed ?? best([...constraints, { kind: 'minStages', count: 2 }]),
      best,
      bestNative: (alone) => provenBest(new ChainSolver(compiled, query), alone),
    }),
    considered: Math.min(planCount(solver.spaceOf(constraints)), Number.MAX_SAFE_INTEGER),
    leftOut: compiled.leftOut,
    ...(found.candidates.length > plans.length ? { frontSize: found.candidates.length } : {}),
    ...(found.bound === undefined ? {} : { gap: gapOf(found, winner, query) }),
  }
}

function provenBest(solver: ChainSolver, constraints: readonly Constraint[]): Plan | undefined {
  const { candidates, bound } = solver.best(constraints, 1)
  const [candidate] = candidates
  return candidate && bound === undefined ? solver.priced(candidate, constraints) : undefined
}

/** Order by evaluated values: the sums of the search may differ in the last digit. Stable for equal plans. */
function compare(query: OptimiserQuery, a: Plan, b: Plan): number {
  return objectiveOf(a, query) - objectiveOf(b, query) || a.predictedMs - b.predictedMs
}

function gapOf({ bound = 0 }: Found, winner: Plan, query: OptimiserQuery): number {
  if (query.pareto) return 1
  const value = objectiveOf(winner, query)
  const lowest = criteriaOf(query)[0]!.toPlanUnits(bound)
  return value > 0 ? Math.min(1, Math.max(0, (value - lowest) / value)) : 0
}

/** The baselines, uncompressed, each with the runtime options that are best for the objective. */
function nativePlans(solver: ChainSolver): Plan[] {
  const { confidence } = solver.query
  const { median: chain } = solver.compiled
  return chain.resources.flatMap(({ runners }, resource) => {
    const pair = chain.source * chain.resources.length + resource
    if (resource !== chain.source && chain.hopMs[pair] === Infinity) return []
    const whole = { resource, from: 0, to: chain.layers, codec: NO_CODEC }
    const plans = runners.map(({ variant }) =>
      solver.evaluated({ stages: [{ ...whole, variant }] }, confidence),
    )
    return bestOf(plans, solver.query) ?? []
  })
}

export class ChainSolver implements FeasibilityOracle {
  readonly compiled: CompiledProblem
  readonly query: OptimiserQuery
  readonly maxStages: number
  readonly leftOut: readonly LeftOut[]
  readonly #figures: Figures
  readonly #timeLimit: TimeLimit
  readonly #chainFigures = new Map<Chain, ChainFigures>()

  constructor(compiled: CompiledProblem, query: OptimiserQuery, timeLimit = NO_TIME_LIMIT) {
    this.compiled = compiled
    this.query = query
    this.maxStages = compiled.median.tiers.length
    this.leftOut = compiled.leftOut
    this.#timeLimit = timeLimit
    this.#figures = figuresFor(compiled.problem, query)
  }

  spaceOf(constraints: readonly Constraint[]): SearchSpace {
    const chain = confidenceOf(constraints) === 'upper' ? this.compiled.upper() : this.compiled.median
    let figures = this.#chainFigures.get(chain)
    if (!figures) this.#chainFigures.set(chain, (figures = chainFiguresOf(chain, this.#figures)))
    return new SearchSpace(chain, searchLimitsOf(chain, constraints), figures)
  }

  /** The best plans for the query's objective under the constraints. */
  best(constraints: readonly Constraint[], top: number, distinct?: OptimiserQuery['distinct']): Found {
    return this.#search(constraints, criteriaOf(this.query), { top, distinct }, this.#timeLimit)
  }

  /** The Pareto front of the query's `pareto` objectives. */
  front(constraints: readonly Constraint[]): Found {
    return this.#search(constraints, frontCriteria(this.query.pareto ?? []), 'front', this.#timeLimit)
  }

  /** Some plan that satisfies the constraints. The time limit does not apply. */
  any(constraints: readonly Constraint[]): Candidate | undefined {
    return this.#search(constraints, criteriaOf({ ...this.query, objective: 'latency' }), 'any').candidates[0]
  }

  /** The minimum of a criterion under the constraints; undefined if there is no plan. The time limit does not apply. */
  minimum(constraints: readonly Constraint[], criterion: Criterion): number | undefined {
    return this.#search(constraints, [criterion], { top: 1 }).candidates[0]?.criteria[0]
  }

  isFeasible(constraints: readonly Constraint[]): boolean {
    return this.any(constraints) !== undefined
  }

  sufficientLimit(others: readonly Constraint[], constraint: LimitConstraint): SufficientLimit | undefined {
    const criterion = limitCriterion(constraint.kind)
    const minimum = criterion && this.minimum(others, criterion)
    if (criterion && minimum !== undefined) {
      const value = criterion.toPlanUnits(minimum)
      return { limit: constraint.kind === 'minThroughput' ? 1000 / value : value, isTightest: true }
    }
    const candidate = criterion ? undefined : this.any(others)
    if (!candidate) return undefined
    const plan = this.priced(candidate, others)
    return { limit: limitKeptBy(plan, constraint, this.compiled.problem.resources), isTightest: false }
  }

  isOver(): boolean {
    return this.#timeLimit.isOver()
  }

  #search(
    constraints: readonly Constraint[],
    criteria: readonly Criterion[],
    wanted: Wanted,
    timeLimit = NO_TIME_LIMIT,
  ): Found {
    return search(this.spaceOf(constraints), criteria, wanted, () => timeLimit.isOverSoon())
  }

  /**
   * The candidate as a plan, priced independently of the search.
   * @throws ScissionError internal if the two disagree.
   */
  priced(candidate: Candidate, constraints: readonly Constraint[]): Plan {
    const plan = this.evaluated(candidate, confidenceOf(constraints))
    const { latencyMs, bottleneckMs, bytes, energyMj, priceNano, loss } = candidate.totals
    const pairs: [string, number, number][] = [
      ['predictedMs', latencyMs, plan.predictedMs],
      ['bottleneckMs', bottleneckMs, plan.bottleneckMs],
      ['bytes', bytes, plan.bytes],
      ['energyJ', energyMj / 1000, plan.energyJ ?? 0],
      ['price', priceNano / 1e9, plan.price ?? 0],
      ['accuracyLoss', Math.min(1, loss), plan.accuracyLoss],
    ]
    const odd = pairs.find(([, found, priced]) => !agree(found, priced))
    if (odd === undefined) return plan
    throw new ScissionError(
      'internal',
      `plan ${plan.id}: ${odd[0]} is ${odd[1]} in the search but ${odd[2]} when evaluated`,
    )
  }

  evaluated({ stages }: Pick<Candidate, 'stages'>, confidence: OptimiserQuery['confidence']): Plan {
    const { problem, source, median: chain } = this.compiled
    const { model, shapesKey } = problem.structure
    const parts = stages.map(({ resource, variant, from, to, codec }) => ({
      resource: chain.resources[resource]!.name,
      from,
      to,
      codec: chain.codecs[codec]!.name,
      options: chain.resources[resource]!.runners[variant]!.options,
    }))
    const named = { model, shapesKey, source, stages: parts }
    return evaluatePlan(problem, named, { confidence, figures: this.#figures })
  }
}

/** Search and evaluation add the same numbers in different orders; a larger relative difference is a bug. */
const AGREEMENT = 1e-9

function agree(found: number, priced: number): boolean {
  return Math.abs(found - priced) <= AGREEMENT * Math.max(Math.abs(found), Math.abs(priced), 1e-9)
}

/** Reading the clock has a cost: one in so many calls reads it. */
const CALLS_PER_READING = 64

/** The end of the time that a search may take. */
export class TimeLimit {
  readonly #end: number
  readonly #now: () => number
  #calls = 0
  #over = false

  /** @param ms undefined: no limit. @param now a clock in milliseconds. */
  constructor(ms: number | undefined, now: () => number) {
    this.#now = now
    this.#end = ms === undefined ? Infinity : now() + ms
  }

  /** Reads the clock. */
  isOver(): boolean {
    if (this.#end === Infinity) return false
    this.#over ||= this.#now() >= this.#end
    return this.#over
  }

  /** Reads the clock once in many calls: for inner loops. */
  isOverSoon(): boolean {
    if (this.#end === Infinity) return false
    this.#calls += 1
    return this.#calls % CALLS_PER_READING === 0 ? this.isOver() : this.#over
  }
}

const NO_TIME_LIMIT = new TimeLimit(undefined, () => 0)
