/**
 * Lower bounds on the objective within a domain under side constraints. For prices λ ≥ 0, the minimum of
 * objective + Σ λ·(form − limit) is at most the best value that keeps the limits (Lagrangian relaxation), and it is one
 * minimum cut.
 *
 * Prices are raised one constraint at a time. As a function of one price the bound is concave and piecewise linear, with one
 * line per placement. Where the line of a placement within the limit and that of one beyond it cross, the next cut either
 * finds a lower line or proves the maximum. Placements within all limits that come up on the way are plans.
 */
import { upTo } from '../limits/constraints.ts'
import type { ClosureProblem, KnownBounds } from './closure-problem.ts'
import {
  addForm,
  type LinearForm,
  type SideConstraint,
  type Totals,
  valueOf,
  zeroForm,
} from './linear-forms.ts'
import { type Domain, type Placement, totalsOf } from './placement.ts'

export interface Solved {
  placement: Placement
  totals: Totals
  /** Value of the objective. */
  value: number
}

export interface LagrangianBound {
  value: number
  /** Per side constraint. */
  prices: Float64Array
  /** The placement of the best bound, for deciding where to branch. */
  at: Solved
  /** Whether `at` keeps the limits. */
  fits: boolean
}

/** Cuts per constraint and round, and rounds. Fewer make the bound weaker, not wrong. */
const MAX_STEPS = 12
const MAX_ROUNDS = 4

/**
 * @param prices to begin with, one per side constraint.
 * @param cutoff a bound from here on is high enough.
 * @param found called with every placement that keeps all limits.
 * @returns undefined if the domain has no placement.
 */
export function lagrangianBound(
  problem: ClosureProblem,
  domain: Domain,
  prices: Float64Array,
  cutoff: number,
  found: (solved: Solved) => void,
): LagrangianBound | undefined {
  const search = new PriceSearch(problem, domain, prices, found)
  if (!search.start()) return undefined
  for (let round = 0; round < MAX_ROUNDS && !search.isDone(cutoff); round += 1)
    if (!search.raiseWorst(cutoff)) break
  return search.best
}

/** A bound without side constraints. `at` is set if the bound is the value of that placement. */
export interface FreeBound {
  value: number
  at: Solved | undefined
  floors: Float64Array | undefined
}

/** First step: cuts of single links. @param found called with a placement that comes up on the way. */
export function relaxedBound(
  problem: ClosureProblem,
  domain: Domain,
  known: KnownBounds,
  found: (solved: Solved) => void,
): FreeBound | undefined {
  const relaxed = problem.relax(problem.route.objective, domain, known)
  if (relaxed === undefined) return undefined
  const { bound, placement, floors } = relaxed
  const candidate = relaxed.candidate && solvedOf(problem, relaxed.candidate)
  if (candidate) found(candidate)
  return placement
    ? { value: candidate!.value, at: candidate, floors }
    : { value: bound, at: undefined, floors }
}

/** Second step: one joint cut of all links. */
export function jointBound(
  problem: ClosureProblem,
  domain: Domain,
  floors: Float64Array | undefined,
  found: (solved: Solved) => void,
): FreeBound | undefined {
  const placement = problem.solveJointly(problem.route.objective, domain)
  if (placement === undefined) return undefined
  const at = solvedOf(problem, placement)
  found(at)
  return { value: at.value, at, floors }
}

export function solvedOf({ instance, route }: ClosureProblem, placement: Placement): Solved {
  const totals = totalsOf(instance, route, placement)
  return { placement, totals, value: valueOf(route.objective, totals) }
}

class PriceSearch {
  readonly #problem: ClosureProblem
  readonly #domain: Domain
  readonly #found: (solved: Solved) => void
  readonly #prices: Float64Array
  best: LagrangianBound | undefined
  /** True once the bound is attained by a placement that keeps the limits. */
  #isTight = false

  constructor(
    problem: ClosureProblem,
    domain: Domain,
    prices: Float64Array,
    found: (solved: Solved) => void,
  ) {
    this.#problem = problem
    this.#domain = domain
    this.#found = found
    this.#prices = prices.slice()
  }

  start(): boolean {
    return this.#try() !== undefined
  }

  isDone(cutoff: number): boolean {
    return this.#isTight || (this.best !== undefined && this.best.value >= cutoff)
  }

  /** @returns false if the current placement keeps all limits, or raising a price does not help. */
  raiseWorst(cutoff: number): boolean {
    const { sideConstraints } = this.#problem.route
    const at = this.best?.at
    if (at === undefined) return false
    let worst = -1
    let largest = 0
    sideConstraints.forEach((constraint, index) => {
      const excess = excessOf(constraint, at.totals) / (Math.abs(constraint.limit) || 1)
      if (excess > largest && !keeps(constraint, at.totals)) {
        largest = excess
        worst = index
      }
    })
    return worst >= 0 && this.#raise(worst, cutoff)
  }

  /** Climbs to the maximum along one price. */
  #raise(index: number, cutoff: number): boolean {
    const constraint = this.#problem.route.sideConstraints[index]!
    const before = this.best!.value
    const base = this.#prices[index]!
    let beyond = this.best!.at
    let within: Solved | undefined
    let step = this.#firstStep(constraint, beyond)
    for (let count = 0; count < MAX_STEPS && !this.isDone(cutoff); count += 1) {
      const price = within ? this.#crossing(index, beyond, within) : this.#prices[index]! + step
      if (within && !(price > base)) break
      this.#prices[index] = price
      const next = this.#try()
      if (next === undefined) break
      if (keeps(constraint, next.totals)) {
        if (within && isSame(next, within)) break
        within = next
      } else {
        if (within && isSame(next, beyond)) break
        beyond = next
      }
      step *= 4
    }
    this.#prices.set(this.best!.prices)
    return this.best!.value > before
  }

  /** A quarter of the price at which the excess would outweigh the whole objective. */
  #firstStep(constraint: SideConstraint, beyond: Solved): number {
    const excess = excessOf(constraint, beyond.totals)
    return Math.max(1e-9, (Math.abs(beyond.value) + 1e-6) / Math.max(excess, 1e-12)) / 4
  }

  /** The price at which the lines of two placements cross; the other prices are constants. */
  #crossing(index: number, beyond: Solved, within: Solved): number {
    const constraint = this.#problem.route.sideConstraints[index]!
    const at = (solved: Solved) => this.#priced(solved, index)
    const slope = excessOf(constraint, beyond.totals) - excessOf(constraint, within.totals)
    return slope > 0 ? (at(within) - at(beyond)) / slope : Number.NaN
  }

  /** Objective + Σ prices · excess, without the price `except`. */
  #priced({ value, totals }: Solved, except = -1): number {
    let priced = value
    this.#problem.route.sideConstraints.forEach((constraint, index) => {
      if (index !== except) priced += this.#prices[index]! * excessOf(constraint, totals)
    })
    return priced
  }

  #try(): Solved | undefined {
    const placement = this.#problem.solve(this.#pricedForm(), this.#domain)
    if (placement === undefined) return undefined
    const solved = solvedOf(this.#problem, placement)
    const fits = this.#problem.route.sideConstraints.every((constraint) => keeps(constraint, solved.totals))
    const value = this.#priced(solved)
    if (fits) this.#found(solved)
    if (this.best === undefined || value > this.best.value)
      this.best = { value, prices: this.#prices.slice(), at: solved, fits }
    if (fits && this.#prices.every((price) => price === 0)) this.#isTight = true
    return solved
  }

  #pricedForm(): LinearForm {
    const { objective, sideConstraints, runners } = this.#problem.route
    if (this.#prices.every((price) => price === 0)) return objective
    const form = addForm(zeroForm(runners.length), objective, 1)
    sideConstraints.forEach((constraint, index) => {
      addForm(form, constraint.form, this.#prices[index]!)
      form.constant -= this.#prices[index]! * constraint.limit
    })
    return form
  }
}

function isSame(a: Solved, b: Solved): boolean {
  return a.placement.every((stop, group) => stop === b.placement[group])
}

function excessOf({ form, limit }: SideConstraint, totals: Totals): number {
  return valueOf(form, totals) - limit
}

/** Whether totals keep a side constraint, up to rounding. The limit of a share is 0, so its rounding is that of its terms. */
export function keeps({ form, limit }: SideConstraint, totals: Totals): boolean {
  const value = valueOf(form, totals)
  if (limit > 0) return value <= upTo(limit)
  return value <= limit + ROUNDING * sizeOf(form, totals)
}

const ROUNDING = 1e-12

function sizeOf(form: LinearForm, { compute }: Totals): number {
  return compute.reduce((size, ms, at) => size + Math.abs(form.compute[at]!) * ms, Math.abs(form.constant))
}

/** Relative to the size of its terms: a sum above this is no rounding error. */
const SIGNIFICANT = 1e-9

/**
 * Whether the side constraints exclude a whole domain. If the minimum of Σ w·(form − limit) for some weights w ≥ 0 is above
 * 0, every placement breaks a limit (the easy half of Farkas' lemma). Tried are each limit that the bound's placement breaks
 * by itself, and all limits together at the bound's prices. Without this test, only placing group after group would show
 * that nothing keeps a limit.
 */
export function isExcluded(
  problem: ClosureProblem,
  domain: Domain,
  { at, prices }: LagrangianBound,
): boolean {
  const { instance, route } = problem
  for (const constraint of route.sideConstraints) {
    if (keeps(constraint, at.totals)) continue
    const lowest = problem.solve(constraint.form, domain)
    if (lowest === undefined || !keeps(constraint, totalsOf(instance, route, lowest))) return true
  }
  return isExcludedTogether(problem, domain, prices)
}

function isExcludedTogether(problem: ClosureProblem, domain: Domain, prices: Float64Array): boolean {
  const { instance, route } = problem
  if (prices.filter((price) => price > 0).length < 2) return false
  const form = zeroForm(route.runners.length)
  route.sideConstraints.forEach((constraint, index) => addForm(form, constraint.form, prices[index]!))
  const placement = problem.solve(form, domain)
  if (placement === undefined) return true
  const totals = totalsOf(instance, route, placement)
  let excess = 0
  let size = 0
  route.sideConstraints.forEach((constraint, index) => {
    const own = prices[index]! * excessOf(constraint, totals)
    excess += own
    size += Math.abs(own) + prices[index]! * Math.abs(constraint.limit)
  })
  return excess > SIGNIFICANT * size
}
