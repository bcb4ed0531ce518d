/**
 * The best plan for every cell of a grid of conditions, mostly without solving it.
 *
 * The cost of a plan is linear in round trips, slowdowns and inverse bandwidths, so the least cost over a set of plans
 * that does not depend on them is a concave function, and sweep-envelope.ts finds all of it from the few points where
 * its faces meet. A cell is then the least of a few linear functions.
 *
 * Limits on times, energy and price make the set of plans depend on the conditions. Then the same is done without them,
 * and only cells whose best plan breaks a limit are solved. Where costs are not linear (throughput) every cell is.
 */
import type { Sweep, SweepGrid } from '../../../shared/contracts/plan-sweep.ts'
import type { OptimiserQuery, Problem } from './index.ts'
import { boundariesOf } from './sweep-boundaries.ts'
import { solveEach } from './sweep-cells.ts'
import { conditionsOf, type WithPreset } from './sweep-conditions.ts'
import { relax } from './sweep-limits.ts'
import { solveByEnvelopes } from './sweep-slices.ts'
import { refuseUnmappable, solveFirst } from './sweep-solve.ts'

export interface SweepOptions {
  /** How a link changes with an access network; by default it takes the preset's figures. */
  withPreset?: WithPreset
}

/**
 * @param query its `top` does not matter.
 * @throws ScissionError as `optimise` does, but for `infeasible`: a cell may have no plan. badRequest for fronts, the
 * graph view, time limits and grids that are too large, notFound for axes of links or resources that do not exist.
 */
export function sweep(
  problem: Problem,
  query: OptimiserQuery,
  grid: SweepGrid,
  options: SweepOptions = {},
): Sweep {
  refuseUnmappable(query, 'a sweep')
  const conditions = conditionsOf(problem, grid, options.withPreset)
  const slowed = grid.flatMap((axis) => (axis.vary === 'slowdown' ? axis.resources : []))
  // Refuses what cannot be planned with, in the words of a plan query.
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
