/**
 * Finds cuts that change what ONNX Runtime makes of the pieces.
 *
 * A boundary that separates no fused group may still change an optimisation elsewhere. ONNX Runtime moves Transposes
 * depending on operators much further on. And it fuses some layers in a short graph but not in a long one: seen with the
 * pattern of a Gelu, and with weights of 4 bits, whose fused kernel has another precision. No list of patterns covers that.
 * So what ONNX Runtime makes of the pieces is compared with what it makes of the whole, in two ways:
 *
 *   everywhere   all pieces at once must have the operators of the whole; else the cuts are halved until it is known which
 *                ones change something
 *   nearby       the layers before a cut and those after it, apart, must have the operators that they have together:
 *                a fusion that one cut makes possible, the next cut may prevent again
 */
import type { Boundary } from '../../contracts/model.ts'
import type { CanonicalGraph } from '../canonical/canonicalise.ts'
import { optimise } from '../canonical/runtime-optimised.ts'
import {
  type AttributeProto,
  AttributeProto_AttributeType as Kind,
  type NodeProto,
} from '../proto/onnx_pb.ts'
import { operatorOf } from '../canonical/scope.ts'
import { isPassThrough } from './fusion.ts'
import { evenly, piecesOf, sideBySide, type Span } from './side-by-side.ts'

/** Most sessions of a search: each takes some 20 ms for a small model, and a second or more for a large one. */
const MAX_SESSIONS = 40
/** Safety for a slow machine: what is known then depends on its pace, which the number of sessions does not. */
const MAX_MS = 30_000
/** Most pieces in one session: its time grows with their square (12,000 layers in as many pieces: 90 s; in 1,000: 4 s). */
const MAX_PIECES = 400
/** Layers on each side of a cut that are looked at together: more than ONNX Runtime fuses into one operator. */
const NEAR = 12
/** Larger constants are left out where many graphs are compared: two of each would have to be read. */
const NEAR_WEIGHT_BYTES = 64 * 1024
/** Most layers in all comparisons nearby; in a larger model only some cuts are looked at. */
const MAX_NEAR_LAYERS = 9_000

export interface CheckedOptimisations {
  /** Those that change an optimisation, and those that could not be checked, are not clean. */
  boundaries: Boundary[]
  /** Boundaries at which a cut changes an optimisation, so perhaps results. */
  changing: number[]
}

/** @param until by performance.now(): no comparison begins later. */
export async function checkOptimisations(
  canonical: CanonicalGraph,
  boundaries: readonly Boundary[],
  until = Number.POSITIVE_INFINITY,
): Promise<CheckedOptimisations> {
  const count = canonical.layers.length
  const cuts = boundaries.filter(({ clean, k }) => clean && k > 0 && k < count).map(({ k }) => k)
  const whole = cuts.length > 0 ? countOperators(canonical.prelude, await optimise(canonical)) : new Map()
  const everywhere = await search(
    [evenly(cuts, MAX_PIECES)],
    async (some) => difference(whole, await operatorsOf(canonical, piecesOf([0, count], some))),
    until,
  )
  const near = cuts.filter((k) => !everywhere.changes.has(k) && !everywhere.unknown.has(k))
  const nearby = await search(
    apartFromEachOther(evenly(near, MAX_NEAR_LAYERS / Math.min(count, 2 * NEAR))),
    (some) => changeNearby(canonical, some),
    until,
  )
  const changes = new Map([...everywhere.changes, ...nearby.changes])
  const unknown = new Set([...everywhere.unknown, ...nearby.unknown])
  return {
    boundaries: boundaries.map((boundary) => {
      const change = changes.get(boundary.k)
      if (change !== undefined)
        return {
          ...boundary,
          clean: false,
          why: `cut here, ONNX Runtime optimises in another way: ${change}`,
        }
      if (!unknown.has(boundary.k)) return boundary
      const why =
        'ONNX Runtime optimises some pieces of this model in another way, and this cut was not checked'
      return { ...boundary, clean: false, why }
    }),
    changing: [...changes.keys()],
  }
}

/** Compares the layers around each cut with the same layers in two pieces. @param cuts whose surroundings do not overlap. */
async function changeNearby(canonical: CanonicalGraph, cuts: readonly number[]): Promise<string> {
  const around = cuts.map((k): Span => [Math.max(0, k - NEAR), Math.min(canonical.layers.length, k + NEAR)])
  const apart = around.flatMap((span, index) => piecesOf(span, [cuts[index]!]))
  const [together, pieces] = [
    await operatorsOf(canonical, around, NEAR_WEIGHT_BYTES),
    await operatorsOf(canonical, apart, NEAR_WEIGHT_BYTES),
  ]
  return difference(together, pieces)
}

/** Sets of cuts that can be looked at together. */
function apartFromEachOther(cuts: readonly number[]): number[][] {
  const sets: number[][] = []
  for (const k of cuts) {
    const free = sets.find((set) => (set.at(-1) ?? Number.NEGATIVE_INFINITY) + 2 * NEAR <= k)
    if (free) free.push(k)
    else sets.push([k])
  }
  return sets
}

/** @returns the change that each cut makes, and the cuts of which it is not known. */
async function search(
  sets: readonly (readonly number[])[],
  changeOf: (cuts: readonly number[]) => Promise<string>,
  until: number,
): Promise<{ changes: Map<number, string>; unknown: Set<number> }> {
  const changes = new Map<number, string>()
  const unknown = new Set<number>()
  const end = Math.min(until, performance.now() + MAX_MS)
  const open = sets.filter((cuts) => cuts.length > 0).map((cuts) => ({ cuts, isDoubtful: false }))
  const most = open.length + MAX_SESSIONS
  let sessions = 0
  for (let next = open.shift(); next; next = open.shift()) {
    const { cuts, isDoubtful } = next
    if (sessions >= most || performance.now() > end) {
      if (isDoubtful) for (const k of cuts) unknown.add(k)
      continue
    }
    sessions += 1
    const change = await changeOf(cuts)
    if (change === '') continue
    const half = Math.ceil(cuts.length / 2)
    if (half === cuts.length) changes.set(cuts[0]!, change)
    else
      for (const some of [cuts.slice(0, half), cuts.slice(half)]) open.push({ cuts: some, isDoubtful: true })
  }
  return { changes, unknown }
}

async function operatorsOf(canonical: CanonicalGraph, pieces: readonly Span[], largeBytes?: number) {
  const { canonical: joined, part } = sideBySide(canonical, pieces)
  return countOperators(joined.prelude, await optimise(joined, { part, ...(largeBytes && { largeBytes }) }))
}

/**
 * How many nodes there are of each operator, without those that compute constants, of which each piece may have its own, and
 * without those that pass a tensor on: ONNX Runtime keeps them where they make an output.
 */
function countOperators(prelude: readonly NodeProto[], nodes: readonly NodeProto[]): Map<string, number> {
  const constant = new Set(prelude.flatMap((node) => node.output))
  const counts = new Map<string, number>()
  for (const node of nodes) {
    if (isPassThrough(node) || node.output.every((name) => constant.has(name))) continue
    const operator = [operatorOf(node), ...node.attribute.flatMap(settingOf).sort()].join(' ')
    counts.set(operator, (counts.get(operator) ?? 0) + 1)
  }
  return counts
}

/** Numbers among a node's attributes: a product that reads its operand transposed adds in another order. */
function settingOf({ name, type, i, f, ints }: AttributeProto): string[] {
  if (type === Kind.INT) return [`${name}=${i}`]
  if (type === Kind.FLOAT) return [`${name}=${f}`]
  return type === Kind.INTS ? [`${name}=${ints.join()}`] : []
}

/** Operators that ONNX Runtime inserts, moves and removes between others. */
const INSERTED = /^(Transpose|Cast)( |$)/

/**
 * `2 MatMulNBits instead of 2 MatMul`; empty if there is none, or only more of the model's own: a layer that does nothing, or
 * does what another does, stays where its tensor crosses a cut.
 */
function difference(whole: ReadonlyMap<string, number>, pieces: ReadonlyMap<string, number>): string {
  const more = (a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>) =>
    [...a]
      .map(([operator, count]) => ({ operator, count: count - (b.get(operator) ?? 0) }))
      .filter(({ count }) => count > 0)
  const [added, gone] = [more(pieces, whole), more(whole, pieces)]
  if (gone.length === 0 && !added.some(({ operator }) => INSERTED.test(operator))) return ''
  const list = (counts: typeof added) =>
    counts.map(({ operator, count }) => `${count} ${operator}`).join(', ') || 'nothing'
  return `${list(added)} instead of ${list(gone)}`
}
