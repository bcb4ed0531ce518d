/**
 * A problem made ready for any number of queries from one source. Ready-made forms are kept as long as the problem
 * object is, so a caller that hands in the same object again pays nothing; a changed problem must be a new object.
 */
import type { Plan } from '../../contracts/plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import type { Candidate } from './route-costs.ts'
import { type Chain, compile, type LeftOut } from './compile-chain.ts'
import { Any, Best, BestPerResources, type Collector, Front } from './collectors.ts'
import { type Constraint, type OptimiserQuery } from '../limits/constraints.ts'
import { demandsOf } from '../limits/search-limits.ts'
import { evaluatePlan } from '../evaluate/evaluate-plan.ts'
import { type Criterion, criteriaOf, frontCriteria } from '../objective/objectives.ts'
import { checkProblem, FIGURES, type Figures, type Problem, sourceOf } from '../problem/problem.ts'
import { type Found, search, slackOf } from './search.ts'
import { type ChainFigures, figuresOf, SearchSpace } from './search-space.ts'
import { TimeLimit } from './time-limit.ts'

export interface Compiled {
  problem: Problem
  source: string
  leftOut: LeftOut[]
  median: Chain
  /** Every time at its 95 % bound. */
  upper(): Chain
  /** Layer that makes a tensor; −1 for inputs of the model, undefined for what does not exist. */
  makerOf(tensor: string): number | undefined
  tensors(): string[]
  /** True when some codec spoils answers somewhere. */
  lossy: boolean
}

const compiled = new WeakMap<Problem, Map<string, Compiled>>()
const checked = new WeakSet<Problem>()

/**
 * @param named the resource the input is at; default: the only one of the first tier.
 * @throws ScissionError badRequest, notMeasured when nothing can be planned with the problem.
 */
export function compileProblem(problem: Problem, named?: string): Compiled {
  checkOnce(problem)
  const source = sourceOf(problem.resources, named)
  let bySource = compiled.get(problem)
  if (!bySource) compiled.set(problem, (bySource = new Map()))
  let found = bySource.get(source)
  if (!found) bySource.set(source, (found = compileFor(problem, source)))
  return found
}

/** Checks a problem object the first time it is seen. */
export function checkOnce(problem: Problem): void {
  if (checked.has(problem)) return
  checkProblem(problem)
  checked.add(problem)
}

function compileFor(problem: Problem, source: string): Compiled {
  const { chain, leftOut } = compile(problem, source)
  let upper: Chain | undefined
  let makers: Map<string, number> | undefined
  const makersOf = () => (makers ??= makersIn(problem))
  return {
    problem,
    source,
    leftOut,
    median: chain,
    upper: () => (upper ??= compile(problem, source, 'upper').chain),
    makerOf: (tensor) => makersOf().get(tensor),
    tensors: () => [...makersOf().keys()],
    lossy: (problem.codecs ?? []).some(({ cells }) => cells.some(({ accuracyLoss }) => accuracyLoss > 0)),
  }
}

function makersIn({ structure: { layers, boundaries } }: Problem): Map<string, number> {
  const makers = new Map((boundaries[0]?.tensors ?? []).map((tensor) => [tensor, -1]))
  layers.forEach((layer, index) => {
    for (const output of layer.outputs) makers.set(output.name, index)
  })
  return makers
}

/** Answers one query, and the questions that explain the answer. */
export class Solver {
  readonly compiled: Compiled
  readonly query: OptimiserQuery
  readonly figures: Figures
  readonly timeLimit: TimeLimit
  readonly #figures = new Map<Chain, ChainFigures>()

  constructor(compiled: Compiled, query: OptimiserQuery, timeLimit = new TimeLimit(undefined, () => 0)) {
    this.compiled = compiled
    this.query = query
    this.timeLimit = timeLimit
    const given = compiled.problem.figures ?? {}
    this.figures = Object.fromEntries(FIGURES.map((field) => [field, query[field] ?? given[field]]))
  }

  chainOf(constraints: readonly Constraint[]): Chain {
    return isUpper(constraints) ? this.compiled.upper() : this.compiled.median
  }

  spaceOf(constraints: readonly Constraint[]): SearchSpace {
    const chain = this.chainOf(constraints)
    const demands = demandsOf(chain, constraints, (tensor) => this.compiled.makerOf(tensor) ?? -1)
    let figures = this.#figures.get(chain)
    if (!figures) this.#figures.set(chain, (figures = figuresOf(chain, this.figures)))
    return new SearchSpace(chain, demands, figures)
  }

  /** The best plans for the query's objective under these constraints. */
  best(
    constraints: readonly Constraint[],
    top: number,
    distinct: OptimiserQuery['distinct'] = 'plans',
  ): Found {
    const space = this.spaceOf(constraints)
    const criteria = criteriaOf(this.query)
    const slack = slackOf(space, criteria)
    const collector = distinct === 'resources' ? new BestPerResources(top, slack) : new Best(top, slack)
    return this.#search(space, criteria, collector)
  }

  front(constraints: readonly Constraint[]): Found {
    return this.#search(this.spaceOf(constraints), frontCriteria(this.query.pareto ?? []), new Front())
  }

  /** Some plan that satisfies the constraints; the time limit does not count. */
  any(constraints: readonly Constraint[]): Candidate | undefined {
    const criteria = criteriaOf({ ...this.query, objective: 'latency' })
    return search(this.spaceOf(constraints), criteria, new Any(), () => false).candidates[0]
  }

  /** The least that a criterion comes to under the constraints; undefined when there is no plan. */
  least(constraints: readonly Constraint[], criterion: Criterion): number | undefined {
    const space = this.spaceOf(constraints)
    const found = search(space, [criterion], new Best(1, slackOf(space, [criterion])), () => false)
    return found.candidates[0]?.criteria[0]
  }

  #search(space: SearchSpace, criteria: readonly Criterion[], collector: Collector): Found {
    return search(space, criteria, collector, () => this.timeLimit.isOverSoon())
  }

  /** The candidate as a plan, priced independently of the search. */
  priced(candidate: Candidate, constraints: readonly Constraint[]): Plan {
    const plan = this.evaluated(candidate, isUpper(constraints) ? 'upper' : 'median')
    const { latencyMs, bottleneckMs, bytes, energyMj, priceNano, loss } = candidate.values
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
      options: chain.resources[resource]!.units[variant]!.options,
    }))
    return evaluatePlan(
      problem,
      { model, shapesKey, source, stages: parts },
      { confidence, figures: this.figures },
    )
  }
}

function isUpper(constraints: readonly Constraint[]): boolean {
  return constraints.some(({ kind }) => kind === 'confidence')
}

/** Search and evaluation add the same numbers in another order; a larger relative difference is a bug. */
const AGREEMENT = 1e-9

function agree(found: number, priced: number): boolean {
  return Math.abs(found - priced) <= AGREEMENT * Math.max(Math.abs(found), Math.abs(priced), 1e-9)
}
