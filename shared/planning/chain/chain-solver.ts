/** The chain view for one query: its best plans, and the questions that explain an answer or the lack of one. */
import type { Plan } from '../../contracts/plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import { evaluatePlan } from '../evaluate/evaluate-plan.ts'
import type { FeasibilityOracle, SufficientLimit } from '../explain/conflict.ts'
import {
  type Constraint,
  type LimitConstraint,
  limitKeptBy,
  type OptimiserQuery,
} from '../limits/constraints.ts'
import { searchLimitsOf } from '../limits/search-limits.ts'
import { type Criterion, criteriaOf, frontCriteria, limitCriterion } from '../objective/objectives.ts'
import { figuresFor } from '../problem/figures.ts'
import type { Figures, LeftOut } from '../problem/problem.ts'
import type { Chain } from './chain.ts'
import { type Collector, FirstFound, ParetoFront, TopK, TopKPerResources } from './collectors.ts'
import type { CompiledProblem } from './compile-chain.ts'
import type { Candidate } from './route-costs.ts'
import { type Found, search, slackOf } from './search.ts'
import { type ChainFigures, chainFiguresOf, SearchSpace } from './search-space.ts'

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
    const chain = isUpper(constraints) ? this.compiled.upper() : this.compiled.median
    let figures = this.#chainFigures.get(chain)
    if (!figures) this.#chainFigures.set(chain, (figures = chainFiguresOf(chain, this.#figures)))
    return new SearchSpace(chain, searchLimitsOf(chain, constraints), figures)
  }

  /** The best plans for the query's objective under the constraints. */
  best(
    constraints: readonly Constraint[],
    top: number,
    distinct: OptimiserQuery['distinct'] = 'plans',
  ): Found {
    const space = this.spaceOf(constraints)
    const criteria = criteriaOf(this.query)
    const slack = slackOf(space, criteria)
    const collector = distinct === 'resources' ? new TopKPerResources(top, slack) : new TopK(top, slack)
    return this.#search(space, criteria, collector)
  }

  /** The Pareto front of the query's `pareto` objectives. */
  front(constraints: readonly Constraint[]): Found {
    return this.#search(this.spaceOf(constraints), frontCriteria(this.query.pareto ?? []), new ParetoFront())
  }

  /** Some plan that satisfies the constraints. The time limit does not apply. */
  any(constraints: readonly Constraint[]): Candidate | undefined {
    const criteria = criteriaOf({ ...this.query, objective: 'latency' })
    return search(this.spaceOf(constraints), criteria, new FirstFound(), NEVER).candidates[0]
  }

  /** The minimum of a criterion under the constraints; undefined if there is no plan. The time limit does not apply. */
  minimum(constraints: readonly Constraint[], criterion: Criterion): number | undefined {
    const space = this.spaceOf(constraints)
    const found = search(space, [criterion], new TopK(1, slackOf(space, [criterion])), NEVER)
    return found.candidates[0]?.criteria[0]
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

  #search(space: SearchSpace, criteria: readonly Criterion[], collector: Collector): Found {
    return search(space, criteria, collector, () => this.#timeLimit.isOverSoon())
  }

  /**
   * The candidate as a plan, priced independently of the search.
   * @throws ScissionError internal if the two disagree.
   */
  priced(candidate: Candidate, constraints: readonly Constraint[]): Plan {
    const plan = this.evaluated(candidate, isUpper(constraints) ? 'upper' : 'median')
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

function isUpper(constraints: readonly Constraint[]): boolean {
  return constraints.some(({ kind }) => kind === 'confidence')
}

/** Search and evaluation add the same numbers in different orders; a larger relative difference is a bug. */
const AGREEMENT = 1e-9

function agree(found: number, priced: number): boolean {
  return Math.abs(found - priced) <= AGREEMENT * Math.max(Math.abs(found), Math.abs(priced), 1e-9)
}

const NEVER = () => false

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
