/**
 * The lists of numbers and texts in large attributes: a tree ensemble has millions of entries, which as objects take
 * gigabytes. Nothing but ONNX Runtime reads them. So they stay as they are encoded, as if onnx.proto did not know their
 * fields, and the protobuf library copies them where it writes the attribute. The few who do read lists call `listsOf`.
 */
import { fromBinary } from '@bufbuild/protobuf'
import {
  type AttributeProto,
  AttributeProtoSchema,
  type FunctionProto,
  type GraphProto,
  type NodeProto,
} from '../proto/onnx_pb.ts'
import { concatenate, encodeTag, varintValue } from './protobuf.ts'

/** Attributes of more bytes have their lists kept as they are encoded. */
const LARGE_ATTRIBUTE_BYTES = 64 * 1024

const { floats, ints, strings } = AttributeProtoSchema.field
const LISTS: ReadonlySet<number> = new Set([floats.number, ints.number, strings.number])

/** Tells whether a field of an AttributeProto is a list of numbers or texts. */
export const isList = (field: number): boolean => LISTS.has(field)

/** Encoded elements, one after another. */
export interface EncodedElements {
  /** Field number of the first one. */
  no: number
  wireType: number
  /** From after the first one's tag to the end of the last one; each but the first has its tag. */
  data: Uint8Array
}

/** In the place of lists in an encoded AttributeProto: the index of these lists. No field of onnx.proto. */
export const LISTS_ELSEWHERE = 99

/** Elements of lists that follow one another. */
export interface ElementSpan {
  no: number
  wireType: number
  /** Offsets in the file: of the first one's tag, after it, and after the last one. */
  start: number
  from: number
  end: number
}

/** Collects where the lists of one attribute are, if it is a large one. */
export class AttributeLists {
  readonly #bytes: number | false
  readonly taken: ElementSpan[] = []

  /** @param bytes of the attribute; false if no lists are wanted. */
  constructor(bytes: number | false) {
    this.#bytes = bytes
  }

  /** @returns whether the field is left out of the attribute. */
  takes(span: ElementSpan): boolean {
    if (span.no === LISTS_ELSEWHERE) return true
    if (!isList(span.no) || this.#bytes === false || this.#bytes <= LARGE_ATTRIBUTE_BYTES) return false
    const last = this.taken.at(-1)
    if (last?.end === span.start) last.end = span.end
    else this.taken.push(span)
    return true
  }
}

/** Gives attributes at any depth their lists back, in place. @param lists by the index that stands in their place. */
export function attachLists(
  { graph, functions }: { graph: GraphProto; functions: readonly FunctionProto[] },
  lists: readonly (readonly EncodedElements[])[],
): void {
  if (lists.length === 0) return
  const pending: Pick<NodeProto, 'attribute'>[] = [
    ...graph.node,
    ...functions.flatMap(({ attributeProto, node }) => [{ attribute: attributeProto }, ...node]),
  ]
  for (let node = pending.pop(); node; node = pending.pop()) {
    for (const attribute of node.attribute) {
      attachTo(attribute, lists)
      for (const body of attribute.g ? [attribute.g, ...attribute.graphs] : attribute.graphs)
        for (const inner of body.node) pending.push(inner)
    }
  }
}

function attachTo(attribute: AttributeProto, lists: readonly (readonly EncodedElements[])[]): void {
  const unknown = attribute.$unknown ?? []
  const place = unknown.find(({ no }) => no === LISTS_ELSEWHERE)
  if (!place) return
  const index = varintValue(place.data, 0, place.data.length)
  attribute.$unknown = [...unknown.filter((field) => field !== place), ...(lists[index] ?? [])]
}

const encodedLists = ({ $unknown = [] }: AttributeProto) => $unknown.filter(({ no }) => isList(no))

/** Tells whether a node's own attributes have lists that are kept as they are encoded. */
export const hasLargeLists = ({ attribute }: Pick<NodeProto, 'attribute'>): boolean =>
  attribute.some((one) => encodedLists(one).length > 0)

/** The lists of an attribute. Decoded at every call if they are large. */
export function listsOf(attribute: AttributeProto): Pick<AttributeProto, 'floats' | 'ints' | 'strings'> {
  const encoded = encodedLists(attribute)
  if (encoded.length === 0) return attribute
  const bytes = concatenate(encoded.flatMap(({ no, wireType, data }) => [encodeTag(no, wireType), data]))
  return fromBinary(AttributeProtoSchema, bytes)
}
