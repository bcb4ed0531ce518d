/**
 * Finds the boundary of an open structure that separates the same layers as one of a structure with fixed shapes.
 *
 * Fixed shapes fold what the open structure computes: it has more layers, and tensors that hold sizes may cross its
 * boundaries as well. Nodes keep the names of their outputs, so layers are told by these.
 */
import type { Boundary, Layer, Structure } from '../../contracts/model.ts'

/**
 * @returns the boundary of `open` before which all layers are that `fixed` has before boundary `k`, and none that it has
 *   after it, and which the same tensors cross, perhaps beside others; undefined if there is none. Of several, a clean one
 *   that the fewest bytes cross.
 * @example
 * const k = openBoundary(structure, 12, await benchmark.openStructure('bert')) // 19
 */
export function openBoundary(fixed: Structure, k: number, open: Structure): number | undefined {
  if (k <= 0) return 0
  if (k >= fixed.layers.length) return open.layers.length
  const places = new Map(
    open.layers.flatMap(({ index, outputs }) => outputs.map(({ name }) => [name, index])),
  )
  const placesOf = (layers: readonly Layer[]) =>
    layers.flatMap(({ outputs }) => outputs.flatMap(({ name }) => places.get(name) ?? []))
  // Not by arguments: more than 120,000 of them are none that a function takes.
  const first = placesOf(fixed.layers.slice(0, k)).reduce((most, place) => Math.max(most, place), -1) + 1
  const last = placesOf(fixed.layers.slice(k)).reduce(
    (least, place) => Math.min(least, place),
    open.layers.length,
  )
  const wanted = fixed.boundaries[k]?.tensors ?? []
  const candidates = open.boundaries
    .slice(first, last + 1)
    .filter(({ allowed, tensors }) => allowed && wanted.every((name) => tensors.includes(name)))
  return candidates.toSorted((a, b) => costOf(a) - costOf(b))[0]?.k
}

const costOf = ({ clean, bytes }: Boundary): number => (clean ? 0 : Number.MAX_SAFE_INTEGER / 2) + bytes

/** True if the same tensors cross both boundaries. */
export function sameTensors(a: Boundary | undefined, b: Boundary | undefined): boolean {
  const names = (boundary: Boundary | undefined) => boundary?.tensors.toSorted().join('\n')
  return names(a) === names(b)
}
