/** The cells of a sweep, filled one by one or from lower envelopes. */
import type { Plan } from '../../contracts/plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import type { OptimiserQuery } from '../limits/constraints.ts'
import { type Axis, type GridConditions, stridesOf } from './grid-conditions.ts'
import {
  type Face,
  heightAt,
  lowerEnvelope,
  lowestAt,
  type Oracle,
  type Point,
  type Rectangle,
} from './lower-envelope.ts'
import {
  type BestPlan,
  type Cost,
  evaluated,
  type RelaxedQuery,
  reprice,
  solveBest,
  surelyKeepsLimits,
} from './resolve.ts'

export interface Cells {
  /** Index into `plans`, in the order of their first cell; -1: no plan. */
  plan: Int32Array
  /** Value of the objective. */
  value: Float64Array
  plans: Plan[]
  /** Value of the objective of a plan in a cell. */
  costAt(cell: number, plan: number): number
  /** Number of calls of the optimiser. */
  solved: number
}

/** Most cells that are solved one by one; more would take minutes. */
const MAX_SOLVED = 10_000

/** Solves every cell. @throws ScissionError badRequest if there are too many. */
export function solveEach(conditions: GridConditions, query: OptimiserQuery): Cells {
  const builder = new CellsBuilder(conditions, query)
  if (conditions.cells > MAX_SOLVED) throw tooMany(conditions.cells)
  for (let cell = 0; cell < conditions.cells; cell += 1) {
    const best = builder.solve(conditions.coordinatesOf(cell))
    if (best) builder.set(cell, best.plan, best.value)
  }
  return builder.result((cell, plan) => builder.price(plan, conditions.coordinatesOf(cell)).value)
}

function tooMany(cells: number): ScissionError {
  return new ScissionError(
    'badRequest',
    `axes: of ${cells} cells too many have to be solved one by one, at most ${MAX_SOLVED} can be: take fewer ` +
      'values, another objective than throughput, or loosen limits on times, throughput, energy and price',
    { field: 'axes', allowed: MAX_SOLVED },
  )
}

/** Relative size of differences between sums of a latency in different orders. */
const ROUNDING = 1e-12

/** The cells while they are filled. */
class CellsBuilder {
  readonly conditions: GridConditions
  readonly query: OptimiserQuery
  readonly #limits: OptimiserQuery | undefined
  readonly #limitMs: number
  readonly #plan: Int32Array
  readonly #value: Float64Array
  readonly #plans: Plan[] = []
  readonly #numbers = new Map<string, number>()
  #solved = 0
  #settled = 0

  /** @param limits for `settle`: the query with the limits that `query` lacks. */
  constructor(conditions: GridConditions, query: OptimiserQuery, limits?: OptimiserQuery) {
    const { maxLatencyMs = Infinity, ...rest } = query
    // If latency is the objective, the best plan keeps the limit or none does: `result` applies it.
    const late = query.objective === 'latency'
    this.conditions = conditions
    this.query = late ? rest : query
    this.#limits = limits
    this.#limitMs = (late ? maxLatencyMs : Infinity) * (1 + ROUNDING)
    this.#plan = new Int32Array(conditions.cells).fill(-1)
    this.#value = new Float64Array(conditions.cells)
  }

  solve(coordinates: readonly number[]): BestPlan | undefined {
    this.#solved += 1
    return solveBest(this.conditions.at(coordinates), this.query)
  }

  price(plan: Plan, coordinates: readonly number[]): Cost {
    return reprice(this.conditions.at(coordinates), this.query, plan)
  }

  /** Sets the best plan without limits, or if that may break a limit, the plan that the optimiser finds. */
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
    if (this.#settled > MAX_SOLVED) throw tooMany(this.conditions.cells)
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
   * Applies the limit on latency and drops plans that are best nowhere.
   * @param costAt value of a plan in a cell.
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

/**
 * Fills the cells from lower envelopes. Up to two ordered axes span a rectangle; every combination of values of the other
 * axes is a slice of its own, which begins with the plans of the slice before it.
 * @param relaxed a query whose costs are linear in the coordinates and whose constraints do not depend on them.
 * @param query with the limits that `relaxed` lacks: cells whose best plan may break one of them are solved.
 * @returns undefined if costs turn out not to be linear.
 */
export function solveByEnvelopes(
  conditions: GridConditions,
  relaxed: RelaxedQuery,
  query: OptimiserQuery,
): Cells | undefined {
  const builder = new CellsBuilder(conditions, relaxed.query, relaxed.limited ? query : undefined)
  const [across, down] = rectangleAxes(conditions.axes)
  const slices = new Map<number, Slice>()
  let known: Plan[] = []
  for (const first of slicesOf(conditions.axes, [across, down])) {
    const slice = new Slice(conditions, builder, first, across, down)
    const faces = lowerEnvelope(slice.rectangle, slice, known)
    if (!faces) return undefined
    slice.fill(faces)
    slices.set(first, slice)
    known = faces.map(({ plan }) => plan)
  }
  const firstOf = firstCells(conditions.axes, [across, down])
  return builder.result((cell, plan) => slices.get(firstOf(cell))!.costAt(cell, plan))
}

/** Up to two ordered axes with the most values. */
function rectangleAxes(axes: readonly Axis[]): (number | undefined)[] {
  const length = (at: number) => axes[at]!.coordinates.length
  return axes
    .flatMap(({ ordered }, at) => (ordered ? [at] : []))
    .sort((a, b) => length(b) - length(a))
    .slice(0, 2)
}

/** The first cell of every slice. @param inside the axes of the rectangle. */
function slicesOf(axes: readonly Axis[], inside: readonly (number | undefined)[]): number[] {
  const strides = stridesOf(axes)
  return axes.reduce<number[]>(
    (firsts, { coordinates }, at) => {
      if (inside.includes(at)) return firsts
      return firsts.flatMap((first) => Array.from(coordinates, (_, index) => first + index * strides[at]!))
    },
    [0],
  )
}

/** The first cell of the slice that a cell is in. */
function firstCells(
  axes: readonly Axis[],
  inside: readonly (number | undefined)[],
): (cell: number) => number {
  const strides = stridesOf(axes)
  const wide = inside.flatMap((axis) =>
    axis === undefined ? [] : [{ stride: strides[axis]!, size: axes[axis]!.coordinates.length }],
  )
  return (cell) =>
    wide.reduce((first, { stride, size }) => first - (Math.floor(cell / stride) % size) * stride, cell)
}

/** The cells that differ only on the axes of the rectangle. */
class Slice implements Oracle<Plan> {
  readonly rectangle: Rectangle
  readonly #builder: CellsBuilder
  readonly #first: number
  readonly #coordinates: number[]
  readonly #across: number | undefined
  readonly #down: number | undefined
  #faces = new Map<string, Face<Plan>>()

  constructor(
    conditions: GridConditions,
    builder: CellsBuilder,
    first: number,
    across: number | undefined,
    down: number | undefined,
  ) {
    const range = (axis: number | undefined) => {
      const values = axis === undefined ? [0] : conditions.axes[axis]!.coordinates
      return { min: Math.min(...values), max: Math.max(...values) }
    }
    const [x, y] = [range(across), range(down)]
    this.rectangle = { low: { x: x.min, y: y.min }, high: { x: x.max, y: y.max } }
    this.#builder = builder
    this.#first = first
    this.#coordinates = conditions.coordinatesOf(first)
    this.#across = across
    this.#down = down
  }

  solve(point: Point) {
    return this.#builder.solve(this.#at(point))
  }

  price(plan: Plan, point: Point): Cost {
    return this.#builder.price(plan, this.#at(point))
  }

  key({ id }: Plan): string {
    return id
  }

  /** Fills the slice's cells; without faces they have no plan. */
  fill(faces: readonly Face<Plan>[]): void {
    this.#faces = new Map(faces.map((face) => [face.plan.id, face]))
    const { axes } = this.#builder.conditions
    const strides = stridesOf(axes)
    const valuesOf = (axis: number | undefined) => (axis === undefined ? [0] : axes[axis]!.coordinates)
    const strideOf = (axis: number | undefined) => (axis === undefined ? 0 : strides[axis]!)
    valuesOf(this.#across).forEach((x, column) => {
      valuesOf(this.#down).forEach((y, row) => {
        const best = lowestAt(faces, this.rectangle, { x, y })
        const cell = this.#first + column * strideOf(this.#across) + row * strideOf(this.#down)
        if (best) this.#builder.settle(cell, best.plan, heightAt(best.value, this.rectangle, { x, y }))
      })
    })
  }

  /** Value of a plan in a cell of the slice. */
  costAt(cell: number, plan: Plan): number {
    const coordinates = this.#builder.conditions.coordinatesOf(cell)
    const on = (axis: number | undefined) => (axis === undefined ? 0 : coordinates[axis]!)
    const face = this.#faces.get(plan.id)
    return face
      ? heightAt(face.value, this.rectangle, { x: on(this.#across), y: on(this.#down) })
      : this.#builder.price(plan, coordinates).value
  }

  #at({ x, y }: Point): number[] {
    const coordinates = [...this.#coordinates]
    if (this.#across !== undefined) coordinates[this.#across] = x
    if (this.#down !== undefined) coordinates[this.#down] = y
    return coordinates
  }
}
