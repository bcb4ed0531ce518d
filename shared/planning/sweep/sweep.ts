/**
 * The best plan in every cell of a grid of conditions, mostly without solving the cell.
 *
 * The cost of a plan is linear in round trips, slowdowns and inverse bandwidths. So the least cost over a set of plans that
 * does not depend on them is a concave function, and lower-envelope.ts finds all of it from the few points where its faces
 * meet. A cell is then the minimum of a few linear functions.
 *
 * Limits on times, energy and price make the set of plans depend on the conditions. Then the same is done without these
 * limits, and only cells whose best plan may break one are solved. If costs are not linear (throughput), every cell is.
 */
import type { Sweep, SweepBoundary, SweepGrid } from '../../contracts/plan-sweep.ts'
import type { OptimiserQuery } from '../limits/constraints.ts'
import type { Problem } from '../problem/problem.ts'
import { type Cells, solveByEnvelopes, solveEach } from './cells.ts'
import { conditionsOf, type GridConditions, stridesOf } from './grid-conditions.ts'
import { refuseUnmappable, relax, solveFirst } from './resolve.ts'

/**
 * The best plan in every cell of a grid of conditions, and the boundaries between the regions of the plans.
 * @param query in the chain view; its `top` does not matter.
 * @throws ScissionError as `optimise` does, except infeasible: a cell may have no plan. badRequest for Pareto fronts, the
 * graph view, time limits and grids that are too large, notFound for axes of unknown links or resources.
 * @example sweep(problem, query, [{ vary: 'rttMs', values: [1, 10, 100], links: [{ from: 'device', to: 'cloud' }] }]).cells
 */
export function sweep(problem: Problem, query: OptimiserQuery, grid: SweepGrid): Sweep {
  refuseUnmappable(query, 'a sweep')
  const conditions = conditionsOf(problem, grid)
  const slowed = grid.flatMap((axis) => (axis.vary === 'slowdown' ? axis.resources : []))
  // Runs all checks of a plan query once.
  solveFirst(conditions.at(conditions.coordinatesOf(0)), query)
  const relaxed = relax(problem, query, slowed)
  const cells = (relaxed && solveByEnvelopes(conditions, relaxed, query)) ?? solveEach(conditions, query)
  const counts = cells.plans.map(() => 0)
  for (const plan of cells.plan) if (plan >= 0) counts[plan]! += 1
  return {
    plans: cells.plans.map(({ id, stages, native }, index) => ({
      id,
      stages: stages.map(({ resource, from, to }) => ({ resource, from, to })),
      native,
      cells: counts[index]!,
    })),
    cells: Array.from(cells.plan),
    values: Array.from(cells.value, (value, cell) => (cells.plan[cell] === -1 ? null : value)),
    boundaries: boundariesOf(conditions, cells),
    solved: cells.solved,
  }
}

/** Between neighbouring cells with different plans, the point at which both plans cost the same. */
function boundariesOf(conditions: GridConditions, cells: Cells): SweepBoundary[] {
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

/** Per index of a value, the index of the next larger value. */
function neighbours(coordinates: Float64Array): (number | undefined)[] {
  const order = [...coordinates.keys()].sort((a, b) => coordinates[a]! - coordinates[b]!)
  const next: (number | undefined)[] = order.map(() => undefined)
  order.slice(1).forEach((index, at) => {
    next[order[at]!] = index
  })
  return next
}

/** The values of all axes at the crossing; half way if one of the cells has no plan. */
function crossing(
  conditions: GridConditions,
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

/** Distance of the crossing from a cell as a share of the distance to the other; costs are linear between them. */
function shareOf(cells: Cells, cell: number, other: number): number {
  const { plan, value } = cells
  const [mine, theirs] = [plan[cell]!, plan[other]!]
  if (mine === -1 || theirs === -1) return 0.5
  const lead = cells.costAt(cell, theirs) - value[cell]!
  const lag = cells.costAt(other, mine) - value[other]!
  return lead + lag > 0 ? Math.min(1, Math.max(0, lead / (lead + lag))) : 0.5
}
