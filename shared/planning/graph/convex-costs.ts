/**
 * Costs of the middle stops of a route, lowered until they are convex.
 *
 * Put stop s at position x[s] = Σ cost per byte of the links before it. If the costs U[s] of a group are convex over x, the
 * best cuts of the single links are nested by themselves, and no joint cut is needed. So U is replaced by its lower convex
 * envelope. The minimum with the lowered costs is a bound; it is the answer if no group is at a stop where its cost was
 * lowered. A stop that only slows a request down is lowered to the line between its neighbours and stays unused.
 */
import type { GraphInstance } from './graph-instance.ts'
import type { LinearForm } from './linear-forms.ts'
import type { Placement } from './placement.ts'
import type { GraphRoute } from './routes.ts'

/** Relative size of differences that are rounding: they do not count as lowered. */
const ROUNDING = 1e-13

/** Per stop, the amount by which each group's cost there is lowered; undefined if none is. */
export type LoweredCosts = readonly (Float64Array | undefined)[]

export function loweredCostsOf(instance: GraphInstance, route: GraphRoute, form: LinearForm): LoweredCosts {
  const last = route.runners.length - 1
  const lowered: (Float64Array | undefined)[] = route.runners.map(() => undefined)
  if (last < 2) return lowered
  const position = positionsOf(form)
  const ms = route.runners.map((runner) => instance.runners[runner]!.ms)
  const { groups, weightBytes } = instance.graph
  const costs = new Float64Array(last + 1)
  const hull = new Int32Array(last + 1)
  for (let group = 0; group < groups; group += 1) {
    for (let at = 0; at <= last; at += 1)
      costs[at] = form.compute[at]! * ms[at]![group]! + form.weight[at]! * weightBytes[group]!
    const corners = lowerHull(position, costs, hull)
    for (let corner = 1; corner < corners; corner += 1)
      for (let at = hull[corner - 1]! + 1; at < hull[corner]!; at += 1) {
        const by = (lowered[at] ??= new Float64Array(groups))
        by[group] = costs[at]! - between(position, costs, hull[corner - 1]!, hull[corner]!, at)
      }
  }
  return lowered
}

/** Whether no group of a placement is at a stop where its cost was lowered. */
export function isExact(lowered: LoweredCosts, placement: Placement): boolean {
  if (lowered.every((costs) => costs === undefined)) return true
  for (let group = 0; group < placement.length; group += 1)
    if ((lowered[placement[group]!]?.[group] ?? 0) > 0) return false
  return true
}

/**
 * Whether some best cut of a link is nested in any best cut of the link before it. The value of a cut is, except for a
 * factor, bytes over the link plus the slope of the costs of each group beyond it. Slopes of a convex cost rise from link to
 * link, so groups outside the earlier cut can be left out of the later one. That fails for a link whose bytes cost nothing.
 */
export function isNested(form: LinearForm, link: number): boolean {
  const minimum = minCostPerByte(form)
  return form.bytes[link - 1]! >= minimum && form.bytes[link]! >= minimum
}

/** Lower bound that costs per byte are raised to, so that no two stops have the same position. */
function minCostPerByte({ bytes }: LinearForm): number {
  return bytes.reduce((highest, cost) => Math.max(highest, cost), 0) * 1e-9 || 1
}

function positionsOf(form: LinearForm): Float64Array {
  const { bytes } = form
  const minimum = minCostPerByte(form)
  const position = new Float64Array(bytes.length + 1)
  for (let link = 0; link < bytes.length; link += 1)
    position[link + 1] = position[link]! + Math.max(bytes[link]!, minimum)
  return position
}

/** Writes the corners of the lower convex hull, from the first to the last stop, into `hull`. @returns their number. */
function lowerHull(position: Float64Array, costs: Float64Array, hull: Int32Array): number {
  let count = 0
  for (let at = 0; at < costs.length; at += 1) {
    while (count >= 2 && isAbove(position, costs, hull[count - 2]!, at, hull[count - 1]!)) count -= 1
    hull[count] = at
    count += 1
  }
  return count
}

function isAbove(position: Float64Array, costs: Float64Array, a: number, b: number, at: number): boolean {
  const line = between(position, costs, a, b, at)
  return costs[at]! - line > ROUNDING * (Math.abs(costs[at]!) + Math.abs(line))
}

/** The line from stop a to stop b, at a stop between. */
function between(position: Float64Array, costs: Float64Array, a: number, b: number, at: number): number {
  const share = (position[at]! - position[a]!) / (position[b]! - position[a]!)
  return costs[a]! + share * (costs[b]! - costs[a]!)
}
