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
 *
 * Pieces of one kind are optimised once (optimised-pieces.ts), so that of a network of many like blocks every cut is compared.
 * Where the kinds are very many, evenly chosen cuts are.
 */
import type { Boundary } from '../../contracts/model.ts'
import type { CanonicalGraph } from '../canonical/canonicalise.ts'
import type { NodeProto } from '../proto/onnx_pb.ts'
import { countOperators, difference, madeBy, OptimisedPieces } from './optimised-pieces.ts'
import { PieceKinds } from './piece-kinds.ts'
import { PieceSource, type Span } from './piece-source.ts'
import { evenly, piecesOf } from './side-by-side.ts'

/** Most comparisons of a search: each takes some 20 ms for a small model, and a second or more for a large one. */
const MAX_COMPARISONS = 40
/** Safety for a slow machine: what is known then depends on its pace, which the number of comparisons does not. */
const MAX_MS = 30_000
/** Layers of all kinds of pieces that are optimised for the first comparison; a further piece costs as much as some layers. */
const MAX_LAYERS = 20_000
const PIECE_LAYERS = 10
/** The same number of pieces is affordable in a model of any size. */
const MIN_PIECES = 400
/** Layers on each side of a cut that are looked at together: more than ONNX Runtime fuses into one operator. */
const NEAR = 12
/** Larger constants are left out where many graphs are compared: two of each would have to be read. */
const NEAR_WEIGHT_BYTES = 64 * 1024
/** Most layers in all comparisons nearby; of more kinds of surroundings only some are looked at. */
const MAX_NEAR_LAYERS = 9_000

export interface CheckedOptimisations {
  /** Those that change an optimisation, and those that could not be checked, are not clean. */
  boundaries: Boundary[]
  /** Boundaries at which a cut changes an optimisation, so perhaps results. */
  changing: number[]
  /** For the user: how many cuts were not compared. */
  warnings: string[]
}

/**
 * @param optimised the nodes that ONNX Runtime makes of the whole graph.
 * @param until by performance.now(): no comparison begins later.
 */
export async function checkOptimisations(
  canonical: CanonicalGraph,
  boundaries: readonly Boundary[],
  optimised: readonly NodeProto[],
  until = Number.POSITIVE_INFINITY,
): Promise<CheckedOptimisations> {
  const count = canonical.layers.length
  const cuts = boundaries.filter(({ clean, k }) => clean && k > 0 && k < count).map(({ k }) => k)
  const source = new PieceSource(canonical)
  const kinds = new PieceKinds(source)
  const pieces = new OptimisedPieces(source, kinds)
  const whole = countOperators(optimised, madeBy(canonical.prelude))
  const everywhere = await search(
    affordable(cuts, count, kinds),
    async (some) => difference(whole, await pieces.operatorsOf(piecesOf([0, count], some))),
    until,
  )
  const near = cuts.filter((k) => !everywhere.changes.has(k) && !everywhere.unknown.has(k))
  const nearby = await compareNearby(source, kinds, near, until)
  const changes = new Map([...everywhere.changes, ...nearby.changes])
  const compared = near.filter((k) => everywhere.compared.has(k) && nearby.compared.has(k))
  const left = near.length - compared.length
  return {
    boundaries: boundaries.map((boundary) =>
      judged(boundary, changes.get(boundary.k), everywhere.unknown.has(boundary.k)),
    ),
    changing: [...changes.keys()],
    warnings:
      left === 0
        ? []
        : [
            `what ONNX Runtime optimises was not compared for ${left} of ${cuts.length} cuts, to bound the time of the analysis`,
          ],
  }
}

function judged(boundary: Boundary, change: string | undefined, isUnknown: boolean): Boundary {
  if (change !== undefined)
    return { ...boundary, clean: false, why: `cut here, ONNX Runtime optimises in another way: ${change}` }
  if (!isUnknown) return boundary
  const why = 'ONNX Runtime optimises some pieces of this model in another way, and this cut was not checked'
  return { ...boundary, clean: false, why }
}

/** All cuts if the pieces are of few kinds, else as many, evenly chosen, as cost no more. */
function affordable(cuts: readonly number[], count: number, kinds: PieceKinds): readonly number[] {
  const pieces = piecesOf([0, count], cuts)
  const costs = new Map(pieces.map((span) => [kinds.of(span), span[1] - span[0] + PIECE_LAYERS]))
  const cost = [...costs.values()].reduce((sum, layers) => sum + layers, 0)
  if (cost <= MAX_LAYERS) return cuts
  return evenly(cuts, Math.max(MIN_PIECES, Math.floor((MAX_LAYERS - count) / PIECE_LAYERS)))
}

interface Compared {
  /** By cut, what it changes. */
  changes: Map<number, string>
  compared: Set<number>
}

/** Compares the layers around each cut with the same layers in two pieces. Cuts with like surroundings are compared once. */
async function compareNearby(
  source: PieceSource,
  kinds: PieceKinds,
  cuts: readonly number[],
  until: number,
): Promise<Compared> {
  const { length } = source.canonical.layers
  const pieces = new OptimisedPieces(source, kinds, NEAR_WEIGHT_BYTES)
  const around = (k: number): Span => [Math.max(0, k - NEAR), Math.min(length, k + NEAR)]
  const alike = new Map<string, number[]>()
  for (const k of cuts) {
    const span = around(k)
    const kind = `${k - span[0]} ${kinds.of(span)}`
    const known = alike.get(kind)
    if (known) known.push(k)
    else alike.set(kind, [k])
  }
  const chosen = evenly([...alike.values()], MAX_NEAR_LAYERS / Math.min(length, 2 * NEAR))
  const found: Compared = { changes: new Map(), compared: new Set() }
  const end = Math.min(until, performance.now() + MAX_MS)
  for (const some of inGroups(chosen, NEAR_AT_ONCE)) {
    if (performance.now() > end) break
    const spans = some.map(([k = 0]) => ({ k, span: around(k) }))
    // Optimised together here, looked up below.
    await pieces.operatorsOf(spans.flatMap(({ k, span }) => [span, ...piecesOf(span, [k])]))
    for (const [index, { k, span }] of spans.entries()) {
      const together = await pieces.operatorsOf([span])
      const change = difference(together, await pieces.operatorsOf(piecesOf(span, [k])))
      for (const cut of some[index] ?? []) {
        found.compared.add(cut)
        if (change !== '') found.changes.set(cut, change)
      }
    }
  }
  return found
}

/** Kinds of surroundings that are optimised before the time is looked at again. */
const NEAR_AT_ONCE = 50

function inGroups<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, at) =>
    all.slice(at * size, (at + 1) * size),
  )
}

/**
 * Halves cuts that change something together until it is known which do.
 * @returns the change that each cut makes, the cuts of which it is not known, and those that were compared.
 */
async function search(
  all: readonly number[],
  changeOf: (cuts: readonly number[]) => Promise<string>,
  until: number,
): Promise<Compared & { unknown: Set<number> }> {
  const changes = new Map<number, string>()
  const unknown = new Set<number>()
  const compared = new Set<number>()
  const end = Math.min(until, performance.now() + MAX_MS)
  const open = all.length > 0 ? [all] : []
  let comparisons = 0
  for (let cuts = open.shift(); cuts; cuts = open.shift()) {
    const isDoubtful = comparisons > 0
    if (comparisons >= MAX_COMPARISONS || performance.now() > end) {
      if (isDoubtful) for (const k of cuts) unknown.add(k)
      continue
    }
    comparisons += 1
    const change = await changeOf(cuts)
    for (const k of cuts) compared.add(k)
    if (change === '') continue
    const half = Math.ceil(cuts.length / 2)
    if (half === cuts.length) changes.set(cuts[0]!, change)
    else open.push(cuts.slice(0, half), cuts.slice(half))
  }
  return { changes, unknown, compared }
}
