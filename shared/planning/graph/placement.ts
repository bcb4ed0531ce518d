/** Placements of groups on the stops of a route, and their totals. */
import { ALWAYS, INPUT } from './compile-graph.ts'
import type { GraphInstance } from './graph-instance.ts'
import type { LinearForm, Totals } from './linear-forms.ts'
import type { GraphRoute } from './routes.ts'

/** Per group, its stop on the route. */
export type Placement = Uint8Array

/** Per group, the first and the last stop where it may be. */
export interface Domain {
  low: Uint8Array
  high: Uint8Array
}

/** Whether a group is at a stop where it must not be, between stops where it may be. */
export function isBanned({ holes }: GraphRoute, placement: Placement): boolean {
  return holes.some(([group, stop]) => placement[group] === stop)
}

export function totalsOf(instance: GraphInstance, route: GraphRoute, placement: Placement): Totals {
  const { graph, runners } = instance
  const count = route.runners.length
  const totals: Totals = {
    compute: new Float64Array(count),
    weight: new Float64Array(count),
    bytes: new Float64Array(count - 1),
  }
  for (let group = 0; group < graph.groups; group += 1) {
    const stop = placement[group]!
    totals.compute[stop]! += runners[route.runners[stop]!]!.ms[group]!
    totals.weight[stop]! += graph.weightBytes[group]!
  }
  addBytes(instance, placement, totals.bytes)
  return totals
}

function addBytes({ graph }: GraphInstance, placement: Placement, bytes: Float64Array): void {
  const { flows } = graph
  const reach = lastNeeded(graph, placement)
  flows.bytes.forEach((size, tensor) => {
    const maker = flows.maker[tensor]!
    const needed = flows.needed[tensor]!
    const first = maker === INPUT ? 0 : placement[maker]!
    const last = needed === ALWAYS ? bytes.length : reach[needed]!
    for (let link = first; link < last; link += 1) bytes[link]! += size
  })
}

/** Per node, the last stop where its tensors are needed. */
function lastNeeded({ nodes, groups, from, to }: GraphInstance['graph'], placement: Placement): Uint8Array {
  const reach = new Uint8Array(nodes)
  reach.set(placement)
  for (let arc = 0; arc < from.length; arc += 1)
    if (to[arc]! >= groups) reach[to[arc]!] = Math.max(reach[to[arc]!]!, placement[from[arc]!]!)
  return reach
}

/** Most bytes of tensors alive at a stop while one of its layers runs. */
export function activationBytesAt({ graph }: GraphInstance, placement: Placement, stop: number): number {
  let peak = 0
  placement.forEach((at, group) => {
    if (at === stop) peak = Math.max(peak, graph.activationBytes[group]!)
  })
  return peak
}

/** Contribution of a group at a stop to linear forms, in absolute values. */
export function contributionOf(
  { graph, runners }: GraphInstance,
  route: GraphRoute,
  forms: readonly LinearForm[],
  group: number,
  stop: number,
): number {
  const ms = runners[route.runners[stop]!]!.ms[group]!
  let total = 0
  for (const form of forms) {
    total += Math.abs(form.compute[stop]!) * ms + Math.abs(form.weight[stop]!) * graph.weightBytes[group]!
    for (const link of [stop - 1, stop]) total += Math.abs((form.bytes[link] ?? 0) * graph.netBytes[group]!)
  }
  return total
}

/**
 * A bound on the objective of a route without any cut. Some group is the first one beyond the first link: those before it
 * are at the first stop, its own tensors cross, and every other group is at its cheapest stop. Something crosses each
 * further link too.
 */
export function quickBound({ graph, runners }: GraphInstance, route: GraphRoute): number {
  const { objective, low, high } = route
  const { groups, entryBytes, weightBytes } = graph
  const first = new Float64Array(groups).fill(Infinity)
  const least = new Float64Array(groups).fill(Infinity)
  // Stop by stop: what is read for every group lies in one piece.
  route.runners.forEach((runner, stop) => {
    const { ms } = runners[runner]!
    const perMs = objective.compute[stop]!
    const perWeight = objective.weight[stop]!
    for (let group = 0; group < groups; group += 1) {
      if (stop < low[group]! || stop > high[group]!) continue
      const cost = perMs * ms[group]! + perWeight * weightBytes[group]!
      if (stop === 0) first[group] = cost
      if (cost < least[group]!) least[group] = cost
    }
  })
  let after = 0
  for (let group = 0; group < groups; group += 1) after += least[group]!
  const [perByte, ...perByteLater] = objective.bytes
  if (perByte === undefined) return objective.constant + after
  let best = Infinity
  let before = 0
  let leastEntry = Infinity
  for (let group = 0; group < groups; group += 1) {
    if (high[group]! > 0) {
      best = Math.min(best, before + after + perByte * entryBytes[group]!)
      leastEntry = Math.min(leastEntry, entryBytes[group]!)
    }
    before += first[group]!
    after -= least[group]!
  }
  if (best === Infinity) return Infinity
  const later = perByteLater.reduce((total, cost) => total + cost * leastEntry, 0)
  return objective.constant + best + later
}
