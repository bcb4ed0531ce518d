/**
 * Puts pieces of a graph side by side into one graph, as if each were a model of its own: what another layer reads is an
 * output of the piece that makes it and, under another name, an input of each other piece that reads it. ONNX Runtime can
 * then optimise all pieces in one session.
 */
import { clone, create } from '@bufbuild/protobuf'
import type { CanonicalGraph } from '../canonical/canonicalise.ts'
import type { GraphPart } from '../canonical/runtime-optimised.ts'
import { renameUses, usesOf } from '../canonical/scope.ts'
import {
  type NodeProto,
  AttributeProtoSchema,
  SparseTensorProtoSchema,
  TensorProtoSchema,
} from '../proto/onnx_pb.ts'

/** Layers [from, to). */
export type Span = readonly [from: number, to: number]

/** @param pieces in order, none overlapping another. */
export function sideBySide(
  canonical: CanonicalGraph,
  pieces: readonly Span[],
): { canonical: CanonicalGraph; part: GraphPart } {
  const joined = new Joined(canonical)
  for (const [index, [from, to]] of pieces.entries()) joined.add(canonical.layers.slice(from, to), index)
  return joined.result()
}

/** The pieces between cuts. @param cuts boundaries inside the span, ascending. */
export function piecesOf([from, to]: Span, cuts: readonly number[]): Span[] {
  return [from, ...cuts].map((start, index): Span => [start, cuts[index] ?? to])
}

/** At most `most` of them, in order. */
export function evenly<T>(all: readonly T[], most: number): T[] {
  const share = Math.min(1, most / all.length)
  return all.filter((_, index) => Math.floor((index + 1) * share) > Math.floor(index * share))
}

class Joined {
  readonly #whole: CanonicalGraph
  readonly #canonical: CanonicalGraph
  readonly #layers: NodeProto[] = []
  readonly #inputs = new Set<string>()
  readonly #outputs = new Set<string>()
  /** How many layers read each tensor; a graph output counts as one more. */
  readonly #readers = new Map<string, number>()
  readonly #prelude: Map<string, NodeProto>
  /** Constants that some piece has under their own names. */
  readonly #used = new Set<string>()

  constructor(whole: CanonicalGraph) {
    const { graph, prelude, types } = whole
    this.#whole = whole
    const copied = { ...graph, constants: new Map(graph.constants), sparse: new Map(graph.sparse) }
    this.#canonical = { graph: copied, prelude: [...prelude], layers: this.#layers, types: new Map(types) }
    for (const name of [...graph.outputs, ...whole.layers.flatMap((node) => [...usesOf(node)])])
      this.#readers.set(name, (this.#readers.get(name) ?? 0) + 1)
    this.#prelude = new Map(prelude.flatMap((node) => node.output.map((name) => [name, node])))
  }

  add(layers: readonly NodeProto[], piece: number): void {
    const made = new Set(layers.flatMap((node) => node.output.filter(Boolean)))
    const names = new Map<string, string>()
    const readInside = new Map<string, number>()
    for (const name of layers.flatMap((node) => [...usesOf(node)]))
      readInside.set(name, (readInside.get(name) ?? 0) + 1)
    for (const name of readInside.keys()) {
      if (made.has(name)) continue
      if (this.#isConstant(name)) this.#ownConstant(name, piece, names)
      else this.#cross(name, piece, names)
    }
    for (const node of layers) this.#layers.push(renamed(node, names))
    for (const name of made)
      if ((this.#readers.get(name) ?? 0) > (readInside.get(name) ?? 0)) this.#outputs.add(name)
  }

  result(): { canonical: CanonicalGraph; part: GraphPart } {
    const part = { layers: this.#layers, inputs: [...this.#inputs], outputs: [...this.#outputs] }
    return { canonical: this.#canonical, part }
  }

  #isConstant(name: string): boolean {
    const { graph } = this.#whole
    return graph.constants.has(name) || graph.sparse.has(name) || this.#prelude.has(name)
  }

  #cross(name: string, piece: number, names: Map<string, string>): void {
    const input = piece === 0 ? name : this.#fresh(name, piece)
    if (input !== name) names.set(name, input)
    this.#inputs.add(input)
  }

  /** Gives the piece a copy of a constant that another piece has too, and of what it is computed from. */
  #ownConstant(name: string, piece: number, names: Map<string, string>): void {
    if (names.has(name)) return
    const { graph } = this.#canonical
    const maker = this.#prelude.get(name)
    const shared = this.#used.has(name)
    this.#used.add(name)
    if (maker) {
      for (const input of usesOf(maker)) this.#ownConstant(input, piece, names)
      for (const output of maker.output.filter(Boolean)) {
        this.#used.add(output)
        if (shared) names.set(output, this.#fresh(output, piece))
      }
      if (!shared) return
      const copy = renamed(maker, names)
      // ONNX Runtime refuses a graph in which two nodes have one name.
      copy.name = `${copy.name}@${piece}`
      this.#canonical.prelude.push(copy)
      return
    }
    if (!shared) return
    const copy = this.#fresh(name, piece)
    names.set(name, copy)
    const tensor = graph.constants.get(name)
    const sparse = graph.sparse.get(name)
    if (tensor) graph.constants.set(copy, create(TensorProtoSchema, { ...tensor, name: copy }))
    if (sparse?.values) {
      const values = create(TensorProtoSchema, { ...sparse.values, name: copy })
      graph.sparse.set(copy, create(SparseTensorProtoSchema, { ...sparse, values }))
    }
  }

  #fresh(name: string, piece: number): string {
    const { types } = this.#canonical
    const fresh = this.#whole.graph.names.fresh(`${name}@${piece}`)
    const type = types.get(name)
    if (type) types.set(fresh, { ...type, name: fresh })
    return fresh
  }
}

function renamed(node: NodeProto, names: ReadonlyMap<string, string>): NodeProto {
  if (names.size === 0) return node
  // Only names are changed, those in bodies included: other attributes may be large.
  const attribute = node.attribute.map((one) =>
    one.g || one.graphs.length > 0 ? clone(AttributeProtoSchema, one) : one,
  )
  const copy = { ...node, input: [...node.input], output: [...node.output], attribute }
  renameUses(copy, names)
  copy.output = copy.output.map((name) => names.get(name) ?? name)
  return copy
}
