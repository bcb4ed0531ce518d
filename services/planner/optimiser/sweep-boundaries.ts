/** Boundaries between the regimes of a sweep: between neighbouring cells, the point where both best plans cost the same. */
import type { SweepBoundary } from '../../../shared/contracts/plan-sweep.ts'
import type { Cells } from './sweep-cells.ts'
import { type Conditions, stridesOf } from './sweep-conditions.ts'

export function boundariesOf(conditions: Conditions, cells: Cells): SweepBoundary[] {
  const found = new Map<string, SweepBoundary>()
  conditions.axes.forEach(({ coordinates, ordered }, axis) => {
    if (!ordered) return
    const next = neighbours(coordinates)
    const stride = stridesOf(conditions.axes)[axis]!
    cells.plan.forEach((plan, cell) => {
      const index = Math.floor(cell / stride) % coordinates.length
      const other = next[index] === undefined ? cell : cell + (next[index] - index) * stride
      const otherPlan = cells.plan[other]!
      if (otherPlan === plan) return
      const plans: [number, number] = [Math.min(plan, otherPlan), Math.max(plan, otherPlan)]
      const boundary = found.get(plans.join()) ?? { plans, points: [] }
      found.set(plans.join(), boundary)
      boundary.points.push(crossing(conditions, cells, [cell, other], axis))
    })
  })
  return [...found.values()].sort((a, b) => a.plans[0] - b.plans[0] || a.plans[1] - b.plans[1])
}

/** Per index of a value the index of the next larger one. */
function neighbours(coordinates: Float64Array): (number | undefined)[] {
  const order = [...coordinates.keys()].sort((a, b) => coordinates[a]! - coordinates[b]!)
  const next: (number | undefined)[] = order.map(() => undefined)
  order.slice(1).forEach((index, at) => {
    next[order[at]!] = index
  })
  return next
}

/** The values of all axes there; half way where one of the cells has no plan. */
function crossing(
  conditions: Conditions,
  cells: Cells,
  [cell, other]: readonly [number, number],
  axis: number,
): number[] {
  const [from, to] = [conditions.coordinatesOf(cell), conditions.coordinatesOf(other)]
  const share = shareOf(cells, cell, other)
  return conditions.axes.map((each, at) =>
    each.valueAt(at === axis ? from[at]! + share * (to[at]! - from[at]!) : from[at]!),
  )
}

/** How far it is from one cell towards the other, were costs lines between them. */
function shareOf(cells: Cells, cell: number, other: number): number {
  const { plan, value } = cells
  const [mine, theirs] = [plan[cell]!, plan[other]!]
  if (mine === -1 || theirs === -1) return 0.5
  const lead = cells.costAt(cell, theirs) - value[cell]!
  const lag = cells.costAt(other, mine) - value[other]!
  return lead + lag > 0 ? Math.min(1, Math.max(0, lead / (lead + lag))) : 0.5
}
