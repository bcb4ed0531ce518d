/** The cells of a sweep: what is known of them while they are filled, and filling them one by one. */
import type { Plan } from '../../contracts/plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import type { OptimiserQuery } from '../chain/optimise.ts'
import type { Conditions } from './grid-conditions.ts'
import { surelyKeepsLimits } from './relaxation.ts'
import { type Best, type Cost, evaluated, reprice, solveBest } from './resolve.ts'

export interface Cells {
  /** Index into `plans`, in the order of their first cell; -1: no plan. */
  plan: Int32Array
  /** What the objective comes to. */
  value: Float64Array
  plans: Plan[]
  /** What a plan comes to in a cell. */
  costAt(cell: number, plan: number): number
  /** How often the optimiser was asked. */
  solved: number
}

/** More cells than this are not solved one by one: it would take minutes. */
const MOST_SOLVED = 10_000

/** Every cell as the optimiser says. @throws ScissionError badRequest when there are too many. */
export function solveEach(conditions: Conditions, query: OptimiserQuery): Cells {
  const draft = new Draft(conditions, query)
  // Said at once, not after minutes.
  if (conditions.cells > MOST_SOLVED) throw tooMany(conditions.cells)
  for (let cell = 0; cell < conditions.cells; cell += 1) {
    const best = draft.solve(conditions.coordinatesOf(cell))
    if (best) draft.set(cell, best.plan, best.value)
  }
  return draft.result((cell, plan) => draft.price(plan, conditions.coordinatesOf(cell)).value)
}

function tooMany(cells: number): ScissionError {
  return new ScissionError(
    'badRequest',
    `axes: of ${cells} cells too many have to be solved one by one, at most ${MOST_SOLVED} can be: take fewer ` +
      'values, another objective than throughput, or loosen limits on times, throughput, energy and price',
    { field: 'axes', allowed: MOST_SOLVED },
  )
}

/** What two ways to add up a latency may differ by, relatively. */
const ROUNDING = 1e-12

/** What is known of the cells while they are filled. */
export class Draft {
  readonly conditions: Conditions
  readonly query: OptimiserQuery
  readonly #limits: OptimiserQuery | undefined
  readonly #limitMs: number
  readonly #plan: Int32Array
  readonly #value: Float64Array
  readonly #plans: Plan[] = []
  readonly #numbers = new Map<string, number>()
  #solved = 0
  #settled = 0

  /** @param limits the query with limits that `query` does not have, for `settle`. */
  constructor(conditions: Conditions, query: OptimiserQuery, limits?: OptimiserQuery) {
    const { maxLatencyMs = Infinity, ...rest } = query
    // Under latency the best plan keeps to the limit or none does: it is left to the end, and cells stay comparable.
    const late = query.objective === 'latency'
    this.conditions = conditions
    this.query = late ? rest : query
    this.#limits = limits
    this.#limitMs = (late ? maxLatencyMs : Infinity) * (1 + ROUNDING)
    this.#plan = new Int32Array(conditions.cells).fill(-1)
    this.#value = new Float64Array(conditions.cells)
  }

  solve(coordinates: readonly number[]): Best | undefined {
    this.#solved += 1
    return solveBest(this.conditions.at(coordinates), this.query)
  }

  price(plan: Plan, coordinates: readonly number[]): Cost {
    return reprice(this.conditions.at(coordinates), this.query, plan)
  }

  /** Takes the best plan without limits, or where that may break one, what the optimiser says. */
  settle(cell: number, plan: Plan, value: number): void {
    const problem = this.#limits && this.conditions.at(this.conditions.coordinatesOf(cell))
    if (
      !problem ||
      !this.#limits ||
      surelyKeepsLimits(evaluated(problem, this.#limits, plan), this.#limits)
    ) {
      this.set(cell, plan, value)
      return
    }
    this.#settled += 1
    if (this.#settled > MOST_SOLVED) throw tooMany(this.conditions.cells)
    const best = solveBest(problem, this.#limits)
    if (best) this.set(cell, best.plan, best.value)
  }

  set(cell: number, plan: Plan, value: number): void {
    const known = this.#numbers.get(plan.id)
    this.#plan[cell] = known ?? this.#plans.push(plan) - 1
    if (known === undefined) this.#numbers.set(plan.id, this.#plan[cell])
    this.#value[cell] = value
  }

  /**
   * With the limit on latency; plans that are best nowhere are dropped.
   * @param costAt what a plan comes to in a cell.
   */
  result(costAt: (cell: number, plan: Plan) => number): Cells {
    const plans: Plan[] = []
    const numbers = new Map<number, number>()
    const plan = this.#plan.map((number, cell) => {
      if (number === -1 || this.#value[cell]! > this.#limitMs) return -1
      if (!numbers.has(number)) numbers.set(number, plans.push(this.#plans[number]!) - 1)
      return numbers.get(number)!
    })
    return {
      plan,
      value: this.#value,
      plans,
      costAt: (cell, index) => costAt(cell, plans[index]!),
      solved: this.#solved + this.#settled,
    }
  }
}
