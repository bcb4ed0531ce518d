/**
 * Places between the first and the last, made cheaper where they are too dear for their position.
 *
 * Put place p at s[p] = Σ of the costs per byte of the links before it. Where a group's costs U[p] are convex over s, the
 * best cuts of the single links lie one behind the other by themselves, and no joint cut is needed. So U is replaced by
 * its lower convex envelope: what that makes least is a bound, and it is the answer where no group is at a place whose
 * cost was lowered. A place that only slows a request down is lowered to the line between its neighbours and stays idle.
 */
import type { Path, Sum } from './routes.ts'
import type { World } from './graph-instance.ts'

/** Per group, by how much the place was made cheaper. */
export interface Lowered {
  by: Float64Array
}

/** Differences of this relative size are rounding: they do not count as lowered. */
const ROUNDING = 1e-13

/** @returns per place; undefined where nothing was lowered. */
export function loweredCosts(world: World, path: Path, sum: Sum): (Lowered | undefined)[] {
  const last = path.places.length - 1
  const lowered: (Lowered | undefined)[] = path.places.map(() => undefined)
  if (last < 2) return lowered
  const position = positionsOf(sum)
  const ms = path.places.map((place) => world.places[place]!.ms)
  const { groups, weightBytes } = world.graph
  const costs = new Float64Array(last + 1)
  const hull = new Int32Array(last + 1)
  for (let group = 0; group < groups; group += 1) {
    for (let at = 0; at <= last; at += 1)
      costs[at] = sum.compute[at]! * ms[at]![group]! + sum.weight[at]! * weightBytes[group]!
    const corners = lowerHull(position, costs, hull)
    for (let corner = 1; corner < corners; corner += 1)
      for (let at = hull[corner - 1]! + 1; at < hull[corner]!; at += 1) {
        const place = (lowered[at] ??= { by: new Float64Array(groups) })
        place.by[group] = costs[at]! - between(position, costs, hull[corner - 1]!, hull[corner]!, at)
      }
  }
  return lowered
}

/** Whether every group at the place has its own cost there. */
export function keepsCost(lowered: Lowered | undefined, placement: Uint8Array, place: number): boolean {
  if (lowered === undefined) return true
  for (let group = 0; group < placement.length; group += 1)
    if (placement[group] === place && lowered.by[group]! > 0) return false
  return true
}

/**
 * Whether some best cut of the link lies within any best cut of the one before it. Both are then, but for a factor,
 * bytes over a link plus per group the slope of its costs, and slopes of a convex cost rise from link to link: what a
 * best cut of this link has outside one of the link before could be left out. Not so for a link whose bytes cost nothing.
 */
export function isLaid(sum: Sum, link: number): boolean {
  const least = leastCost(sum)
  return sum.bytes[link - 1]! >= least && sum.bytes[link]! >= least
}

/** What a byte is taken to cost at least, so that no two places are at the same position. */
function leastCost({ bytes }: Sum): number {
  return bytes.reduce((most, cost) => Math.max(most, cost), 0) * 1e-9 || 1
}

function positionsOf(sum: Sum): Float64Array {
  const { bytes } = sum
  const least = leastCost(sum)
  const position = new Float64Array(bytes.length + 1)
  for (let link = 0; link < bytes.length; link += 1)
    position[link + 1] = position[link]! + Math.max(bytes[link]!, least)
  return position
}

/** Corners of the lower convex hull, from the first to the last place. @returns how many. */
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

/** The line from a to b, at a place between. */
function between(position: Float64Array, costs: Float64Array, a: number, b: number, at: number): number {
  const share = (position[at]! - position[a]!) / (position[b]! - position[a]!)
  return costs[a]! + share * (costs[b]! - costs[a]!)
}
