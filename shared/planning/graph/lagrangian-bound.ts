/**
 * The least value that a path can have within a domain when sums have limits: for prices λ ≥ 0 on the limits, the best
 * of objective + Σ λ·(sum − limit) is never above the best that keeps them (Lagrange), and it is one minimum cut.
 *
 * The prices are raised one limit at a time. For one price the bound is a concave function of it, made of straight
 * lines, one per placement: where the lines of a placement within the limit and of one beyond it meet, the next cut
 * either finds a lower line or proves the top. Placements within all limits that come up on the way are plans.
 */
import { upTo } from '../limits/search-limits.ts'
import {
  type Domain,
  type Goal,
  type PathModel,
  type Placement,
  type Totals,
  valueOf,
} from './closure-problem.ts'
import { addSum, type Budget, type Sum, zeroSum } from './routes.ts'

export interface Solved {
  placement: Placement
  totals: Totals
  /** Of the objective. */
  value: number
}

export interface Bound {
  value: number
  prices: Float64Array
  /** The last placement looked at, for deciding where to branch; it keeps the limits when `fits`. */
  at: Solved
  fits: boolean
}

/** Cuts per limit and round; a bound that is a little low is still one. */
const MOST_STEPS = 12
const MOST_ROUNDS = 4

/**
 * @param prices to begin with, one per budget.
 * @param cutoff a bound from here on is high enough.
 * @param found told of every placement that keeps all limits.
 * @returns undefined when the domain holds no placement below the cutoff.
 */
export function boundOf(
  model: PathModel,
  domain: Domain,
  prices: Float64Array,
  cutoff: number,
  found: (solved: Solved) => void,
): Bound | undefined {
  const search = new PriceSearch(model, domain, prices, found)
  if (!search.start()) return undefined
  for (let round = 0; round < MOST_ROUNDS && !search.isDone(cutoff); round += 1)
    if (!search.raiseWorst(cutoff)) break
  return search.best
}

/**
 * The same where no sum has a limit, in two steps: first the links by themselves, and what that finds in passing.
 * @returns the bound, with `at` only when it is the placement's own value.
 */
export function relaxedBound(
  model: PathModel,
  domain: Domain,
  goal: Goal,
  found: (solved: Solved) => void,
): { value: number; at: Solved | undefined; floors: Float64Array | undefined } | undefined {
  const relaxed = model.relax(model.path.objective, domain, goal)
  if (relaxed === undefined) return undefined
  const candidate = relaxed.candidate && solvedOf(model, relaxed.candidate)
  if (candidate) found(candidate)
  return relaxed.placement
    ? { value: candidate!.value, at: candidate, floors: relaxed.floors }
    : { value: relaxed.bound, at: undefined, floors: relaxed.floors }
}

/** The second step: one joint cut. */
export function jointBound(
  model: PathModel,
  domain: Domain,
  found: (solved: Solved) => void,
  floors: Float64Array | undefined,
): { value: number; at: Solved; floors: Float64Array | undefined } | undefined {
  const placement = model.solveJointly(model.path.objective, domain)
  if (placement === undefined) return undefined
  const at = solvedOf(model, placement)
  found(at)
  return { value: at.value, at, floors }
}

export function solvedOf(model: PathModel, placement: Placement): Solved {
  const totals = model.totals(placement)
  return { placement, totals, value: valueOf(model.path.objective, totals) }
}

class PriceSearch {
  readonly #model: PathModel
  readonly #domain: Domain
  readonly #found: (solved: Solved) => void
  readonly #prices: Float64Array
  best: Bound | undefined
  /** False once the bound is the best that keeps the limits. */
  #open = true

  constructor(model: PathModel, domain: Domain, prices: Float64Array, found: (solved: Solved) => void) {
    this.#model = model
    this.#domain = domain
    this.#found = found
    this.#prices = prices.slice()
  }

  start(): boolean {
    return this.#try() !== undefined
  }

  isDone(cutoff: number): boolean {
    return !this.#open || (this.best !== undefined && this.best.value >= cutoff)
  }

  /** @returns false when no limit is passed by the placement in hand, or no price helps. */
  raiseWorst(cutoff: number): boolean {
    const { budgets } = this.#model.path
    const at = this.best?.at
    if (at === undefined) return false
    let worst = -1
    let most = 0
    budgets.forEach((budget, index) => {
      const excess = excessOf(budget, at.totals) / (Math.abs(budget.limit) || 1)
      if (excess > most && !keeps(budget, at.totals)) {
        most = excess
        worst = index
      }
    })
    return worst >= 0 && this.#raise(worst, cutoff)
  }

  /** Climbs to the top along one price. */
  #raise(index: number, cutoff: number): boolean {
    const budget = this.#model.path.budgets[index]!
    const before = this.best!.value
    const base = this.#prices[index]!
    let beyond = this.best!.at
    let within: Solved | undefined
    let step = this.#firstStep(budget, beyond)
    for (let count = 0; count < MOST_STEPS && !this.isDone(cutoff); count += 1) {
      const meeting = within ? this.#meeting(index, beyond, within) : this.#prices[index]! + step
      if (within && !(meeting > base)) break
      this.#prices[index] = meeting
      const next = this.#try()
      if (next === undefined) break
      if (keeps(budget, next.totals)) {
        if (within && this.#isSame(next, within)) break
        within = next
      } else {
        if (within && this.#isSame(next, beyond)) break
        beyond = next
      }
      step *= 4
    }
    this.#prices.set(this.best!.prices)
    return this.best!.value > before
  }

  /** The price that would outweigh the whole objective if it bought all of what is too much. */
  #firstStep(budget: Budget, beyond: Solved): number {
    const excess = excessOf(budget, beyond.totals)
    return Math.max(1e-9, (Math.abs(beyond.value) + 1e-6) / Math.max(excess, 1e-12)) / 4
  }

  /** Where the lines of two placements cross: their values and the other prices are constants there. */
  #meeting(index: number, beyond: Solved, within: Solved): number {
    const budget = this.#model.path.budgets[index]!
    const at = (solved: Solved) => this.#priced(solved, index)
    const slope = excessOf(budget, beyond.totals) - excessOf(budget, within.totals)
    return slope > 0 ? (at(within) - at(beyond)) / slope : Number.NaN
  }

  #isSame(a: Solved, b: Solved): boolean {
    return a.placement.every((place, group) => place === b.placement[group])
  }

  /** Objective + Σ prices · excess; without the price `except`. */
  #priced({ value, totals }: Solved, except = -1): number {
    let priced = value
    this.#model.path.budgets.forEach((budget, index) => {
      if (index !== except) priced += this.#prices[index]! * excessOf(budget, totals)
    })
    return priced
  }

  #try(): Solved | undefined {
    const { path } = this.#model
    const sum = this.#sum()
    const placement = this.#model.solve(sum, this.#domain)
    if (placement === undefined) return undefined
    const totals = this.#model.totals(placement)
    const solved = { placement, totals, value: valueOf(path.objective, totals) }
    const fits = path.budgets.every((budget) => keeps(budget, totals))
    const value = this.#priced(solved)
    if (fits) this.#found(solved)
    if (this.best === undefined || value > this.best.value)
      this.best = { value, prices: this.#prices.slice(), at: solved, fits }
    if (fits && this.#prices.every((price) => price === 0)) this.#open = false
    return solved
  }

  #sum(): Sum {
    const { objective, budgets, places } = this.#model.path
    if (this.#prices.every((price) => price === 0)) return objective
    const sum = addSum(zeroSum(places.length), objective, 1)
    budgets.forEach((budget, index) => {
      addSum(sum, budget.sum, this.#prices[index]!)
      sum.constant -= this.#prices[index]! * budget.limit
    })
    return sum
  }
}

export function excessOf({ sum, limit }: Budget, totals: Totals): number {
  return valueOf(sum, totals) - limit
}

/** Sums that are a rounding error above the limit keep it. A share is a difference of sums: its limit is 0. */
export function keeps(budget: Budget, totals: Totals): boolean {
  const value = valueOf(budget.sum, totals)
  if (budget.limit > 0) return value <= upTo(budget.limit)
  return value <= budget.limit + ROUNDING * sizeOf(budget.sum, totals)
}

const ROUNDING = 1e-12

function sizeOf(sum: Sum, { compute }: Totals): number {
  return compute.reduce((size, ms, at) => size + Math.abs(sum.compute[at]!) * ms, Math.abs(sum.constant))
}
