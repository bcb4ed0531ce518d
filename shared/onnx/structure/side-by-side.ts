/**
 * Puts pieces of a graph side by side into one graph, as if each were a model of its own: what another layer reads is an
 * output of the piece that makes it, and an input of each piece that reads it. ONNX Runtime can then optimise all pieces in
 * one session. Every piece has names of its own, so pieces may overlap; and its own copies of constants.
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
import type { PieceSource, Span } from './piece-source.ts'

export interface SideBySide {
  canonical: CanonicalGraph
  part: GraphPart
  /** The outputs of each piece. */
  outputs: string[][]
}

export function sideBySide(source: PieceSource, pieces: readonly Span[]): SideBySide {
  const joined = new Joined(source)
  const outputs = pieces.map((span) => joined.add(span))
  return { ...joined.result(), outputs }
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
  readonly #source: PieceSource
  readonly #canonical: CanonicalGraph
  readonly #inputs: string[] = []
  readonly #outputs: string[] = []

  constructor(source: PieceSource) {
    this.#source = source
    const graph = { ...source.canonical.graph, constants: new Map(), sparse: new Map() }
    this.#canonical = { graph, prelude: [], layers: [], types: new Map() }
  }

  /** @returns the names of the piece's outputs. */
  add(span: Span): string[] {
    const piece = this.#source.nextPiece()
    const layers = this.#source.layers.slice(...span)
    const nameOf = (tensor: number) => this.#source.names[tensor] ?? ''
    const names = new Map<string, string>()
    for (const { makes } of layers) for (const tensor of makes) this.#rename(nameOf(tensor), piece, names)
    for (const name of layers.flatMap(({ uses }) => uses.map(nameOf))) {
      if (names.has(name)) continue
      if (this.#source.isConstant(name)) this.#ownConstant(name, piece, names)
      else this.#inputs.push(this.#rename(name, piece, names))
    }
    for (const { node } of layers) this.#canonical.layers.push(renamed(node, names))
    const outputs = this.#source.outputsOf(span).flatMap((tensor) => names.get(nameOf(tensor)) ?? [])
    for (const name of outputs) this.#outputs.push(name)
    return outputs
  }

  result(): Omit<SideBySide, 'outputs'> {
    const { layers } = this.#canonical
    return { canonical: this.#canonical, part: { layers, inputs: this.#inputs, outputs: this.#outputs } }
  }

  /** Copies a constant, and what it is computed from. */
  #ownConstant(name: string, piece: number, names: Map<string, string>): void {
    if (names.has(name)) return
    const maker = this.#source.preludeMaker(name)
    if (maker) {
      for (const input of usesOf(maker)) this.#ownConstant(input, piece, names)
      for (const output of maker.output.filter(Boolean)) this.#rename(output, piece, names)
      this.#canonical.prelude.push(renamed(maker, names))
      return
    }
    const copy = this.#rename(name, piece, names)
    const { constants, sparse } = this.#source.canonical.graph
    const tensor = constants.get(name)
    const spread = sparse.get(name)
    const { graph } = this.#canonical
    if (tensor) graph.constants.set(copy, create(TensorProtoSchema, { ...tensor, name: copy }))
    if (spread?.values) {
      const values = create(TensorProtoSchema, { ...spread.values, name: copy })
      graph.sparse.set(copy, create(SparseTensorProtoSchema, { ...spread, values }))
    }
  }

  #rename(name: string, piece: number, names: Map<string, string>): string {
    const { graph, types } = this.#source.canonical
    const fresh = graph.names.fresh(`${name}@${piece}`)
    const type = types.get(name)
    if (type) this.#canonical.types.set(fresh, { ...type, name: fresh })
    names.set(name, fresh)
    return fresh
  }
}

function renamed(node: NodeProto, names: ReadonlyMap<string, string>): NodeProto {
  // Only names are changed, those in bodies included: other attributes may be large.
  const attribute = node.attribute.map((one) =>
    one.g || one.graphs.length > 0 ? clone(AttributeProtoSchema, one) : one,
  )
  const output = node.output.map((name) => names.get(name) ?? name)
  // ONNX Runtime refuses a graph in which two nodes have one name.
  const copy = { ...node, name: output.find(Boolean) ?? '', input: [...node.input], output, attribute }
  renameUses(copy, names)
  return copy
}
