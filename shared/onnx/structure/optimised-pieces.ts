/**
 * What ONNX Runtime makes of pieces of a graph. One piece of each kind is optimised (piece-kinds.ts), side by side with
 * others in sessions of bounded size: the time of a session grows with the square of the pieces in it.
 */
import { optimise } from '../canonical/runtime-optimised.ts'
import { operatorOf, usesOf } from '../canonical/scope.ts'
import {
  type AttributeProto,
  AttributeProto_AttributeType as Kind,
  type NodeProto,
} from '../proto/onnx_pb.ts'
import { isPassThrough } from './fusion.ts'
import type { PieceKinds } from './piece-kinds.ts'
import type { PieceSource, Span } from './piece-source.ts'
import { sideBySide } from './side-by-side.ts'

/** Most pieces, layers and bytes of constants in one session. */
const MAX_PIECES = 200
const MAX_LAYERS = 2_000
const MAX_CONSTANT_BYTES = 64 * 1024 * 1024

/** How many nodes there are of each operator. */
export type Operators = ReadonlyMap<string, number>

export class OptimisedPieces {
  readonly kinds: PieceKinds
  readonly #source: PieceSource
  readonly #largeBytes: number | undefined
  /** By kind. */
  readonly #known = new Map<number, Operators>()

  /** @param largeBytes constants above this size are left out. @defaultValue as `optimise` */
  constructor(source: PieceSource, kinds: PieceKinds, largeBytes?: number) {
    this.#source = source
    this.kinds = kinds
    this.#largeBytes = largeBytes
  }

  /** @returns the operators of all the pieces together. @throws ONNX Runtime's error. */
  async operatorsOf(pieces: readonly Span[]): Promise<Operators> {
    const kinds = pieces.map((span) => this.kinds.of(span))
    const fresh = new Map(
      pieces.flatMap((span, index) => {
        const kind = kinds[index] ?? -1
        return this.#known.has(kind) ? [] : [[kind, span] as const]
      }),
    )
    for (const some of this.#sessions([...fresh])) {
      const found = await this.#optimise(some.map(([, span]) => span))
      for (const [index, [kind]] of some.entries()) this.#known.set(kind, found[index] ?? new Map())
    }
    return sumOf(kinds.map((kind) => this.#known.get(kind) ?? new Map()))
  }

  /** Divides pieces among sessions. */
  #sessions<T extends readonly [kind: number, span: Span]>(pieces: readonly T[]): T[][] {
    const sessions: T[][] = []
    let [layers, bytes] = [Number.POSITIVE_INFINITY, 0]
    for (const piece of pieces) {
      const [from, to] = piece[1]
      const constants = this.#source.constantBytes(piece[1], this.#largeBytes)
      const last = sessions.at(-1)
      layers += to - from
      bytes += constants
      if (last && last.length < MAX_PIECES && layers <= MAX_LAYERS && bytes <= MAX_CONSTANT_BYTES)
        last.push(piece)
      else {
        sessions.push([piece])
        layers = to - from
        bytes = constants
      }
    }
    return sessions
  }

  async #optimise(pieces: readonly Span[]): Promise<Operators[]> {
    const { canonical, part, outputs } = sideBySide(this.#source, pieces)
    const nodes = await optimise(canonical, {
      part,
      ...(this.#largeBytes !== undefined && { largeBytes: this.#largeBytes }),
    })
    const makers = new Map(nodes.flatMap((node) => node.output.map((name) => [name, node])))
    const constants = madeBy(canonical.prelude)
    return outputs.map((names) => countOperators(behind(names, makers), constants))
  }
}

/** The nodes that tensors are computed by, at any depth. */
function behind(names: readonly string[], makers: ReadonlyMap<string, NodeProto>): Set<NodeProto> {
  const found = new Set<NodeProto>()
  const pending = names.flatMap((name) => makers.get(name) ?? [])
  for (let node = pending.pop(); node; node = pending.pop()) {
    if (found.has(node)) continue
    found.add(node)
    for (const name of usesOf(node)) {
      const maker = makers.get(name)
      if (maker) pending.push(maker)
    }
  }
  return found
}

function sumOf(all: readonly Operators[]): Operators {
  const sum = new Map<string, number>()
  for (const counts of all)
    for (const [operator, count] of counts) sum.set(operator, (sum.get(operator) ?? 0) + count)
  return sum
}

/** The tensors that nodes make. */
export const madeBy = (nodes: readonly NodeProto[]): ReadonlySet<string> =>
  new Set(nodes.flatMap((node) => node.output))

/**
 * Counts nodes without those that compute constants, of which each piece may have its own, and without those that pass a
 * tensor on: ONNX Runtime keeps them where they make an output.
 */
export function countOperators(nodes: Iterable<NodeProto>, constants: ReadonlySet<string>): Operators {
  const counts = new Map<string, number>()
  for (const node of nodes) {
    if (isPassThrough(node) || node.output.every((name) => constants.has(name))) continue
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
export function difference(whole: Operators, pieces: Operators): string {
  const more = (a: Operators, b: Operators) =>
    [...a]
      .map(([operator, count]) => ({ operator, count: count - (b.get(operator) ?? 0) }))
      .filter(({ count }) => count > 0)
  const [added, gone] = [more(pieces, whole), more(whole, pieces)]
  if (gone.length === 0 && !added.some(({ operator }) => INSERTED.test(operator))) return ''
  const list = (counts: typeof added) =>
    counts.map(({ operator, count }) => `${count} ${operator}`).join(', ') || 'nothing'
  return `${list(added)} instead of ${list(gone)}`
}
