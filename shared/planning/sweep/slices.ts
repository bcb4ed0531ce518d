/** The cells of a sweep, filled from lower envelopes (sweep-envelope.ts). */
import type { Plan } from '../../contracts/plan.ts'
import type { OptimiserQuery } from '../chain/optimise.ts'
import { type Cells, Draft } from './cells.ts'
import { type Axis, type Conditions, stridesOf } from './grid-conditions.ts'
import {
  type Face,
  heightAt,
  lowerEnvelope,
  lowestAt,
  type Oracle,
  type Point,
  type Rectangle,
} from './lower-envelope.ts'
import type { Relaxed } from './relaxation.ts'
import type { Cost } from './resolve.ts'

/**
 * Up to two ordered axes make a rectangle, and every combination of values on the others a slice of its own, which
 * begins with the plans of the slice before it.
 * @param relaxed a query whose plans' costs are linear in the coordinates and whose constraints do not depend on them.
 * @param query with the limits that were left out: cells whose best plan breaks one are solved.
 * @returns undefined when the costs turn out not to be linear.
 */
export function solveByEnvelopes(
  conditions: Conditions,
  relaxed: Relaxed,
  query: OptimiserQuery,
): Cells | undefined {
  const draft = new Draft(conditions, relaxed.query, relaxed.limited ? query : undefined)
  const [across, down] = rectangleAxes(conditions.axes)
  const slices = new Map<number, Slice>()
  let known: Plan[] = []
  for (const first of slicesOf(conditions.axes, [across, down])) {
    const slice = new Slice(conditions, draft, first, across, down)
    const faces = lowerEnvelope(slice.rectangle, slice, known)
    if (!faces) return undefined
    slice.fill(faces)
    slices.set(first, slice)
    known = faces.map(({ plan }) => plan)
  }
  const firstOf = firstCells(conditions.axes, [across, down])
  return draft.result((cell, plan) => slices.get(firstOf(cell))!.costAt(cell, plan))
}

/** The one or two ordered axes with most values. */
function rectangleAxes(axes: readonly Axis[]): (number | undefined)[] {
  const length = (at: number) => axes[at]!.coordinates.length
  return axes
    .flatMap(({ ordered }, at) => (ordered ? [at] : []))
    .sort((a, b) => length(b) - length(a))
    .slice(0, 2)
}

/** The first cell of every slice: all combinations of values of the other axes. */
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
  readonly #draft: Draft
  readonly #first: number
  readonly #coordinates: number[]
  readonly #across: number | undefined
  readonly #down: number | undefined
  #faces = new Map<string, Face<Plan>>()

  constructor(
    conditions: Conditions,
    draft: Draft,
    first: number,
    across: number | undefined,
    down: number | undefined,
  ) {
    const range = (axis: number | undefined) => {
      const values = axis === undefined ? [0] : conditions.axes[axis]!.coordinates
      return { least: Math.min(...values), most: Math.max(...values) }
    }
    const [x, y] = [range(across), range(down)]
    this.rectangle = { low: { x: x.least, y: y.least }, high: { x: x.most, y: y.most } }
    this.#draft = draft
    this.#first = first
    this.#coordinates = conditions.coordinatesOf(first)
    this.#across = across
    this.#down = down
  }

  solve(point: Point) {
    return this.#draft.solve(this.#at(point))
  }

  price(plan: Plan, point: Point): Cost {
    return this.#draft.price(plan, this.#at(point))
  }

  key({ id }: Plan): string {
    return id
  }

  /** No faces: no plan. */
  fill(faces: readonly Face<Plan>[]): void {
    this.#faces = new Map(faces.map((face) => [face.plan.id, face]))
    const { axes } = this.#draft.conditions
    const strides = stridesOf(axes)
    const valuesOf = (axis: number | undefined) => (axis === undefined ? [0] : axes[axis]!.coordinates)
    const strideOf = (axis: number | undefined) => (axis === undefined ? 0 : strides[axis]!)
    valuesOf(this.#across).forEach((x, column) => {
      valuesOf(this.#down).forEach((y, row) => {
        const best = lowestAt(faces, this.rectangle, { x, y })
        const cell = this.#first + column * strideOf(this.#across) + row * strideOf(this.#down)
        if (best) this.#draft.settle(cell, best.plan, heightAt(best.value, this.rectangle, { x, y }))
      })
    })
  }

  /** What a plan comes to in a cell of the slice. */
  costAt(cell: number, plan: Plan): number {
    const coordinates = this.#draft.conditions.coordinatesOf(cell)
    const on = (axis: number | undefined) => (axis === undefined ? 0 : coordinates[axis]!)
    const face = this.#faces.get(plan.id)
    return face
      ? heightAt(face.value, this.rectangle, { x: on(this.#across), y: on(this.#down) })
      : this.#draft.price(plan, coordinates).value
  }

  #at({ x, y }: Point): number[] {
    const coordinates = [...this.#coordinates]
    if (this.#across !== undefined) coordinates[this.#across] = x
    if (this.#down !== undefined) coordinates[this.#down] = y
    return coordinates
  }
}
