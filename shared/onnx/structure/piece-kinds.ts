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
import {
  type AttributeProto,
  AttributeProto_AttributeType as Kind,
  AttributeProtoSchema,
  type NodeProto,
  type TensorProto,
} from '../proto/onnx_pb.ts'
import { CODE, elementTypeOf } from '../wire/element-types.ts'
import { isExternal } from '../wire/external-data.ts'
import { hasLargeLists } from '../wire/large-lists.ts'
import { rawBytes, tensorBytes } from '../wire/tensor-data.ts'
import { INLINE_PAYLOAD_BYTES } from '../wire/skeleton.ts'
import type { PieceSource, Span } from './piece-source.ts'

/** More numbers than these are weights: only whether they are all the same may matter. */
const MAX_EXACT_NUMBERS = 4

export class PieceKinds {
  readonly #source: PieceSource
  /** By text, in the order in which they were seen. */
  readonly #numbers = new Map<string, number>()
  /** By layers. */
  readonly #spans = new Map<number, number>()
  readonly #operators = new Map<NodeProto, number>()
  /** By the tensors' numbers. */
  readonly #tensors: number[] = []

  constructor(source: PieceSource) {
    this.#source = source
  }

  /** The same number for pieces of one kind. */
  of(span: Span): number {
    const [from, to] = span
    const key = from * (this.#source.layers.length + 1) + to
    const known = this.#spans.get(key)
    if (known !== undefined) return known
    const found = this.#number(this.#textOf(span))
    this.#spans.set(key, found)
    return found
  }

  #textOf(span: Span): string {
    const places = new Map<number, number>()
    let said = ''
    const tell = (tensor: number) => {
      const known = places.get(tensor)
      if (known === undefined) places.set(tensor, places.size)
      said += known === undefined ? ` n${this.#tensor(tensor)}` : ` ${known}`
    }
    for (let index = span[0]; index < span[1]; index++) {
      const { node, uses, makes } = this.#source.layers[index]!
      said += ` o${this.#operator(node)}`
      for (const tensor of uses) tell(tensor)
      for (const tensor of makes) tell(tensor)
    }
    return `${said} out ${this.#source
      .outputsOf(span)
      .map((tensor) => places.get(tensor))
      .join()}`
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

  #tensor(tensor: number): number {
    return (this.#tensors[tensor] ??= this.#number(
      `tensor ${this.#tensorText(this.#source.names[tensor] ?? '')}`,
    ))
  }

  #tensorText(name: string): string {
    const { graph, types } = this.#source.canonical
    const maker = this.#source.preludeMaker(name)
    if (maker) {
      const inputs = [...usesOf(maker)].map((input) => this.#number(this.#tensorText(input)))
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
  const { domain, opType, overload, input, output, attribute } = node
  // An operand that is read twice is one use; one that is left out is none.
  const inputs = input.map((name) => (name ? input.indexOf(name) : -1))
  const form = [domain, opType, overload, inputs, output.map(Boolean)]
  const isAlone = hasLargeLists(node) || bodiesOf(node).length > 0
  return JSON.stringify([...form, ...(isAlone ? output : attribute.flatMap(attributeTexts))])
}

function attributeTexts(attribute: AttributeProto): string[] {
  const { name, type, i, f } = attribute
  if (type === Kind.INT) return [name, `${i}`]
  if (type === Kind.FLOAT) return [name, `${f}`]
  return [name, Buffer.from(toBinary(AttributeProtoSchema, attribute)).toString('base64')]
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
