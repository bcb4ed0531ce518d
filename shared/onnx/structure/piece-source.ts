/** What is looked up of a graph again and again while pieces of it are compared. Made once for a graph. */
import type { CanonicalGraph } from '../canonical/canonicalise.ts'
import { usesOf } from '../canonical/scope.ts'
import type { NodeProto } from '../proto/onnx_pb.ts'
import { tensorBytes } from '../wire/tensor-data.ts'

export class PieceSource {
  readonly canonical: CanonicalGraph
  /** How many layers read each tensor; a graph output counts as one more. */
  readonly #readers = new Map<string, number>()
  readonly #makers = new Map<string, NodeProto>()
  #pieces = 0

  constructor(canonical: CanonicalGraph) {
    this.canonical = canonical
    const { graph, prelude, layers } = canonical
    for (const node of layers) for (const name of usesOf(node)) this.#count(name)
    for (const name of graph.outputs) this.#count(name)
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

  /** The tensors that these layers make and others read. */
  outputsOf(layers: readonly NodeProto[]): string[] {
    const inside = new Map<string, number>()
    for (const node of layers) for (const name of usesOf(node)) inside.set(name, (inside.get(name) ?? 0) + 1)
    const isRead = (name: string) => (this.#readers.get(name) ?? 0) > (inside.get(name) ?? 0)
    return layers.flatMap((node) => node.output.filter((name) => name && isRead(name)))
  }

  /** Bytes of the stored constants of layers, each up to `most`. */
  constantBytes([from, to]: readonly [from: number, to: number], most = Number.POSITIVE_INFINITY): number {
    const { constants } = this.canonical.graph
    const names = new Set<string>()
    const pending = this.canonical.layers.slice(from, to).flatMap((node) => [...usesOf(node)])
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (names.has(name)) continue
      names.add(name)
      const maker = this.#makers.get(name)
      if (maker) pending.push(...usesOf(maker))
    }
    const bytes = [...names].flatMap((name) => constants.get(name) ?? []).map(tensorBytes)
    return bytes.reduce((sum, one) => (one > most ? sum : sum + one), 0)
  }

  #count(name: string): void {
    this.#readers.set(name, (this.#readers.get(name) ?? 0) + 1)
  }
}
