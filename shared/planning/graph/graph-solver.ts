/**
 * The graph view asked with other demands than the query's: for the sentence beside an answer (explain.ts), and for what
 * is to blame where there is none (conflict.ts). Chain plans are plans of the graph too, so a chain plan settles at once
 * that there is one; that there is none the graph's own search must prove, within so many steps.
 */
import type { GraphPlan } from '../../contracts/graph-plan.ts'
import type { Plan } from '../../contracts/plan.ts'
import type { LeftOut } from '../chain/compile-chain.ts'
import type { Asked, Limited } from '../explain/conflict.ts'
import { type Constraint, constraintsOf, demanding } from '../limits/constraints.ts'
import { attempt, type AttemptOptions, isSettled } from './graph-attempt.ts'
import { asGraphCharges } from './graph-incumbent.ts'
import { type Path, pathsOf, zeroSum } from './routes.ts'
import { searchGraph } from './branch-and-bound.ts'
import { askedAgain, type GraphQuery, sourceIn, type World } from './graph-instance.ts'
import { limitKeptBy } from '../limits/limit-figures.ts'
import { THROUGHPUT } from '../objective/objectives.ts'
import { compileProblem, Solver } from '../chain/solver.ts'

/** The query's demands; the graph view sends tensors as they are, whatever codecs it allows. */
export function graphConstraints(query: GraphQuery): Constraint[] {
  return constraintsOf({ ...query, codecs: undefined })
}

/** Domains looked into for one question, and for all of them. */
const MOST_STEPS = 300
const MOST_STEPS_IN_ALL = 20_000

/** Limits that are each on one sum of every way (graph-paths.ts), so that a search can make it small. */
const SUMS: ReadonlySet<Limited['kind']> = new Set([
  'maxTierMs',
  'maxUploadBytes',
  'maxTotalUploadBytes',
  'maxLatencyMs',
  'maxEnergyJ',
  'maxPrice',
])

export class GraphAsked implements Asked {
  readonly mostStages: number
  readonly #world: World
  readonly #isLate: () => boolean
  #chain: Solver | undefined
  #steps = 0

  constructor(world: World, isLate: () => boolean) {
    const { problem } = world
    this.#world = world
    this.#isLate = isLate
    this.mostStages = new Set(problem.resources.map(({ tier }) => tier)).size
  }

  /** As the chain view names them. */
  get leftOut(): readonly LeftOut[] {
    return this.#solver.compiled.leftOut
  }

  isOver(): boolean {
    return this.#steps >= MOST_STEPS_IN_ALL || this.#isLate()
  }

  /** The best plan for the query's objective, where it is known to be the best. */
  best(constraints: readonly Constraint[]): GraphPlan | undefined {
    const query = { ...demanding(this.#world.query, constraints), top: 1 }
    const tried = this.#within((isOver) => attempt(askedAgain(this.#world, query), { isOver }))
    return isSettled(tried) ? tried.plans[0]?.plan : undefined
  }

  /** @param constraints allow one stage: a way of that kind has one placement. */
  bestAlone(constraints: readonly Constraint[]): GraphPlan | undefined {
    const query = { ...demanding(this.#world.query, constraints), top: 1 }
    return attempt(askedAgain(this.#world, query), { isOver: () => false }).plans[0]?.plan
  }

  isFeasible(constraints: readonly Constraint[]): boolean | undefined {
    const tried = this.#any(constraints)
    return tried === undefined ? undefined : tried !== 'none'
  }

  enough(
    others: readonly Constraint[],
    constraint: Limited,
  ): { limit: number; isLeast: boolean } | undefined {
    const least = SUMS.has(constraint.kind) ? this.#least(others, constraint) : undefined
    if (least) return least
    const chain = constraint.kind === 'minThroughput' ? this.#solver.least(others, THROUGHPUT) : undefined
    if (chain !== undefined) return { limit: 1000 / chain, isLeast: false }
    const plan = this.#any(others)
    if (plan === undefined || plan === 'none') return undefined
    return { limit: limitKeptBy(plan, constraint, this.#world.problem.resources), isLeast: false }
  }

  /** Some plan of either view; undefined: not found out. */
  #any(constraints: readonly Constraint[]): Plan | GraphPlan | 'none' | undefined {
    const candidate = this.#solver.any(constraints)
    if (candidate) return this.#solver.priced(candidate, constraints)
    const query = { ...demanding(this.#world.query, constraints), objective: 'latency' as const, top: 1 }
    const world = askedAgain(this.#world, query)
    const tried = this.#within((isOver) => attempt(world, { isOver, isAnyEnough: true }))
    return tried.plans[0]?.plan ?? (tried.bound === Infinity ? 'none' : undefined)
  }

  /** The least that the constraint's sum comes to: a search with the sum as its objective. */
  #least(
    others: readonly Constraint[],
    constraint: Limited,
  ): { limit: number; isLeast: boolean } | undefined {
    // Under the objective latency its limit is no sum of the search's.
    const query = { ...demanding(this.#world.query, [...others, constraint]), objective: 'bytes' as const }
    const world = askedAgain(this.#world, query)
    const name = 'name' in constraint ? `${constraint.kind}: ${constraint.name}` : constraint.kind
    const paths = pathsOf(world).map((path) => aimedAt(path, name))
    const { found, bound } = this.#within((isOver) => searchGraph(world, paths, { isOver, top: 1 }))
    const value = found[0]?.solved.value
    return value === undefined ? undefined : { limit: value, isLeast: bound >= value * (1 - 1e-9) }
  }

  /** Counts the steps of a search, and stops it after so many. */
  #within<T>(search: (isOver: AttemptOptions['isOver']) => T): T {
    let taken = 0
    const left = Math.min(MOST_STEPS, MOST_STEPS_IN_ALL - this.#steps)
    const found = search((steps) => {
      taken = steps
      return steps >= left || this.#isLate()
    })
    this.#steps += taken
    return found
  }

  get #solver(): Solver {
    const { problem, query } = this.#world
    this.#chain ??= new Solver(compileProblem(asGraphCharges(problem), sourceIn(this.#world)), query)
    return this.#chain
  }
}

/** The way with the sum of this limit as its objective, and the limit gone; 0 on a way that it says nothing of. */
function aimedAt(path: Path, name: string): Path {
  const own = path.budgets.find((budget) => budget.name === name)
  return {
    ...path,
    objective: own?.sum ?? zeroSum(path.places.length),
    budgets: path.budgets.filter((budget) => budget !== own),
    isPlain: false,
  }
}
