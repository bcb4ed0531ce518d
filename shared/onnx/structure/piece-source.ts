/**
 * What is looked up of a graph again and again while pieces of it are compared: made once for a graph, with a number for each
 * tensor.
 */
import type { CanonicalGraph } from '../canonical/canonicalise.ts'
import { usesOf } from '../canonical/scope.ts'
import type { NodeProto } from '../proto/onnx_pb.ts'
import { tensorBytes } from '../wire/tensor-data.ts'

/** Layers [from, to). */
export type Span = readonly [from: number, to: number]

/** A layer with the numbers of the tensors that it reads and makes. */
export interface SourceLayer {
  node: NodeProto
  uses: readonly number[]
  makes: readonly number[]
}

export class PieceSource {
  readonly canonical: CanonicalGraph
  readonly layers: readonly SourceLayer[]
  /** The names of tensors by their numbers. */
  readonly names: string[] = []
  readonly #numbers = new Map<string, number>()
  /** By a tensor's number: the last layer that reads it; Infinity for a graph output. */
  readonly #lastReader: number[] = []
  readonly #makers = new Map<string, NodeProto>()
  #pieces = 0

  constructor(canonical: CanonicalGraph) {
    this.canonical = canonical
    const { graph, prelude } = canonical
    const number = (name: string) => this.#number(name)
    this.layers = canonical.layers.map((node) => ({
      node,
      uses: Array.from(usesOf(node), number),
      makes: node.output.filter(Boolean).map(number),
    }))
    for (const [index, { uses }] of this.layers.entries())
      for (const tensor of uses) this.#lastReader[tensor] = index
    for (const name of graph.outputs) this.#lastReader[number(name)] = Number.POSITIVE_INFINITY
    for (const node of prelude) for (const name of node.output) this.#makers.set(name, node)
  }

  /** A number that no other piece has. */
  nextPiece(): number {
    return this.#pieces++
  }

  isConstant(name: string): boolean {
    const { constants, sparse } = this.canonical.graph
    return constants.has(name) || sparse.has(name) || this.#makers.has(name)
  }

  /** The node that computes a constant from others; undefined if the constant is stored, and for other tensors. */
  preludeMaker(name: string): NodeProto | undefined {
    return this.#makers.get(name)
  }

  /** The numbers of the tensors that these layers make and later ones read. */
  outputsOf([from, to]: Span): number[] {
    const made = this.layers.slice(from, to).flatMap(({ makes }) => makes)
    return made.filter((tensor) => (this.#lastReader[tensor] ?? -1) >= to)
  }

  /** Bytes of the stored constants of layers, each up to `most`. */
  constantBytes([from, to]: Span, most = Number.POSITIVE_INFINITY): number {
    const { constants } = this.canonical.graph
    const names = new Set<string>()
    const pending = this.layers.slice(from, to).flatMap(({ uses }) => uses.map((use) => this.names[use]))
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (names.has(name)) continue
      names.add(name)
      const maker = this.#makers.get(name)
      if (maker) pending.push(...usesOf(maker))
    }
    const bytes = [...names].flatMap((name) => constants.get(name) ?? []).map(tensorBytes)
    return bytes.reduce((sum, one) => (one > most ? sum : sum + one), 0)
  }

  #number(name: string): number {
    const known = this.#numbers.get(name)
    if (known !== undefined) return known
    this.#numbers.set(name, this.names.length)
    return this.names.push(name) - 1
  }
}
