/**
 * A plan from a placement that leaves a place idle: one group is moved there, the one that costs least. It is mostly
 * near the best way to use the place, so that a search that knows it drops nearly all others.
 */
import { type Solved, solvedOf } from './graph-bound.ts'
import type { PathModel, Placement } from './graph-path.ts'
import type { CompiledGraph } from './graph-structure.ts'

/** @returns undefined when no group can be moved there by itself. */
export function filled(
  graph: CompiledGraph,
  model: PathModel,
  { placement }: Solved,
  place: number,
): Solved | undefined {
  const isFree = movable(graph, placement, place)
  let best: Solved | undefined
  for (let group = 0; group < graph.groups; group += 1) {
    if (isFree[group] !== 1 || !mayBe(model, group, place)) continue
    const moved = placement.slice()
    moved[group] = place
    const solved = solvedOf(model, moved)
    if (best === undefined || solved.value < best.value) best = solved
  }
  return best
}

function mayBe({ path }: PathModel, group: number, place: number): boolean {
  const { low, high, holes } = path
  if (place < low[group]! || place > high[group]!) return false
  return !holes.some(([one, at]) => one === group && at === place)
}

/** 1 for groups before the place that all they lead to lies beyond, and for those beyond with all they need before it. */
function movable({ groups, from, to }: CompiledGraph, placement: Placement, place: number): Uint8Array {
  const isFree = new Uint8Array(groups).fill(1)
  for (let arc = 0; arc < from.length; arc += 1) {
    const maker = from[arc]!
    const user = to[arc]!
    if (user >= groups) continue
    if (placement[user]! < place) isFree[maker] = 0
    if (placement[maker]! > place) isFree[user] = 0
  }
  return isFree
}
