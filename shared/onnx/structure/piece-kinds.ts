/**
 * Tells pieces of a graph apart as ONNX Runtime's optimiser would. A large network is a few blocks many times over: of pieces
 * of one kind, one is optimised. Pieces are of one kind if they have the same operators with the same attributes, wired in
 * the same way, with the same types, and constants that are alike. Names do not matter.
 *
 * The optimiser looks at the values of a constant if these are few (scalars, shapes, axes) or all the same. So such constants
 * are alike if they are equal; weights are, if their types are. Of what is not looked into here, nothing is like another:
 * bodies, texts, sparse tensors, long lists.
 */
import { toBinary } from '@bufbuild/protobuf'
import { usesOf, bodiesOf } from '../canonical/scope.ts'
import { type NodeProto, NodeProtoSchema, type TensorProto } from '../proto/onnx_pb.ts'
import { CODE, elementTypeOf } from '../wire/element-types.ts'
import { isExternal } from '../wire/external-data.ts'
import { hasLargeLists } from '../wire/large-lists.ts'
import { rawBytes, tensorBytes } from '../wire/tensor-data.ts'
import { INLINE_PAYLOAD_BYTES } from '../wire/skeleton.ts'
import type { PieceSource } from './piece-source.ts'
import type { Span } from './side-by-side.ts'

/** More numbers than these are weights: only whether they are all the same may matter. */
const MAX_EXACT_NUMBERS = 4

export class PieceKinds {
  readonly #source: PieceSource
  /** By text, in the order in which they were seen. */
  readonly #numbers = new Map<string, number>()
  readonly #operators = new Map<NodeProto, number>()
  readonly #tensors = new Map<string, number>()

  constructor(source: PieceSource) {
    this.#source = source
  }

  /** The same for pieces of one kind. */
  of(span: Span): string {
    const layers = this.#source.canonical.layers.slice(...span)
    const places = new Map<string, number>()
    const said: (number | string)[] = []
    const tell = (name: string) => {
      const known = places.get(name)
      if (known !== undefined) said.push(known)
      else {
        places.set(name, places.size)
        said.push(`n${this.#tensor(name)}`)
      }
    }
    for (const node of layers) {
      said.push(`o${this.#operator(node)}`)
      for (const name of usesOf(node)) tell(name)
      for (const name of node.output) if (name) tell(name)
    }
    said.push('out')
    for (const name of this.#source.outputsOf(layers)) said.push(places.get(name) ?? '')
    return said.join(' ')
  }

  /** A number for a text. */
  #number(text: string): number {
    const known = this.#numbers.get(text)
    if (known !== undefined) return known
    this.#numbers.set(text, this.#numbers.size)
    return this.#numbers.size - 1
  }

  #operator(node: NodeProto): number {
    const known = this.#operators.get(node)
    if (known !== undefined) return known
    const found = this.#number(`operator ${operatorText(node)}`)
    this.#operators.set(node, found)
    return found
  }

  #tensor(name: string): number {
    const known = this.#tensors.get(name)
    if (known !== undefined) return known
    const found = this.#number(`tensor ${this.#tensorText(name)}`)
    this.#tensors.set(name, found)
    return found
  }

  #tensorText(name: string): string {
    const { graph, types } = this.#source.canonical
    const maker = this.#source.preludeMaker(name)
    if (maker) {
      const inputs = [...usesOf(maker)].map((input) => this.#tensor(input))
      return `${this.#operator(maker)} of ${inputs.join()} at ${maker.output.indexOf(name)}`
    }
    const tensor = graph.constants.get(name)
    if (tensor) return constantText(tensor, name)
    if (graph.sparse.has(name)) return `sparse ${name}`
    const type = types.get(name)
    return type ? `${type.code} ${type.shape.join()} ${type.symbols?.join() ?? ''}` : `untyped ${name}`
  }
}

/** Operator, attributes, and which inputs and outputs are there; the node's own name where it cannot be like another. */
function operatorText(node: NodeProto): string {
  const present = (names: readonly string[]) => names.map((name) => (name ? 1 : 0)).join('')
  // An operand that is read twice is one use.
  const inputs = node.input.map((name) => node.input.indexOf(name)).join()
  const form = `${node.domain} ${node.opType} ${node.overload} ${inputs} ${present(node.input)} ${present(node.output)}`
  if (hasLargeLists(node) || bodiesOf(node).length > 0) return `${form} ${node.output.join()}`
  const bare = { ...node, name: '', input: [], output: [] }
  return `${form} ${Buffer.from(toBinary(NodeProtoSchema, bare)).toString('base64')}`
}

function constantText(tensor: TensorProto, name: string): string {
  const type = `constant ${tensor.dataType} ${tensor.dims.join()}`
  const element = elementTypeOf(tensor.dataType)
  if (!element || tensor.dataType === CODE.STRING) return `${type} ${name}`
  const bytes = tensorBytes(tensor)
  const isWeight = element.bits <= 8 || FLOATS.has(tensor.dataType)
  if (isExternal(tensor) || bytes > INLINE_PAYLOAD_BYTES) return isWeight ? type : `${type} ${name}`
  const values = Buffer.from(rawBytes(tensor, ''))
  const size = Math.max(1, element.bits / 8)
  const isFew = bytes <= MAX_EXACT_NUMBERS * size
  if (isFew || !isWeight) return `${type} ${values.toString('base64')}`
  const first = values.subarray(0, size)
  for (let at = size; at < bytes; at += size)
    if (first.compare(values, at, at + size) !== 0) return `${type} various`
  return `${type} all ${first.toString('base64')}`
}

const FLOATS: ReadonlySet<number> = new Set([CODE.FLOAT, CODE.DOUBLE, CODE.FLOAT16, CODE.BFLOAT16])
