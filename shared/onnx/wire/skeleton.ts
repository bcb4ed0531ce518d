/**
 * Reads a model's structure without its weights.
 *
 * The file is scanned with bounded reads. Every tensor payload above a small limit stays in the file and is replaced by an
 * external-data reference to its place (the file's own name, offset, length): `raw_data`, packed `float_data` and packed
 * `double_data` have exactly the layout of external data. So the memory needed does not depend on the weights, and models
 * written from the skeleton refer to the original. What nothing here uses, texts about the model and declared types that ONNX
 * Runtime infers by itself, is skipped by its length: exporters write megabytes of it. Everything else, unknown fields
 * included, is kept unchanged.
 *
 * Packed integer payloads are varints and cannot be referenced: large ones get the same entry with `encoding: varint`,
 * which only tensor-data.ts reads; canonical files never contain it.
 *
 * Measured: the scan reads the structure of a model of 553 MB in 3 ms. A protobuf library needs the whole file in memory
 * for that; of the two tried, protobufjs also drops unknown fields.
 */
import path from 'node:path'
import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import { coerceError, ScissionError } from '../../platform/errors.ts'
import { CODE } from './element-types.ts'
import { isExternal } from './external-data.ts'
import {
  AttributeProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from '../proto/onnx_pb.ts'
import { refuseOtherFormats } from './other-formats.ts'
import { MAX_DEPTH, type StructureLimits, StructureBudget } from './structure-limits.ts'
import {
  attachLists,
  AttributeLists,
  type ElementSpan,
  type EncodedElements,
  isList,
  LISTS_ELSEWHERE,
} from './large-lists.ts'
import { type MessageLayout, MODEL } from './message-layout.ts'
import { type MessagePath, WireFile } from './file-reader.ts'
import {
  concatenate,
  encodeField,
  encodeHeader,
  encodeNumber,
  encodeText,
  WIRE_BYTES,
  WIRE_VARINT,
} from './protobuf.ts'

/** Payloads up to this size stay in the structure: shapes, axes and scales that shape inference reads. */
export const INLINE_PAYLOAD_BYTES = 1024
/** Packed integers up to this size stay too: keeping them is cheaper than referring to them. */
const INLINE_VARINT_BYTES = 64 * 1024

export interface SkeletonOptions {
  /**
   * Keeps only opsets, inputs, outputs and the names of initializers. The rest is still checked, and its external references
   * collected, but no objects are made of it: 27 MB of empty fields that are not in onnx.proto became 1.7 GB of objects.
   */
  interfaceOnly?: boolean
  /** @defaultValue none: a file that was described with limits needs no others, and the process that analyses it has its own */
  limits?: StructureLimits | undefined
}

export interface Skeleton {
  model: ModelProto
  /** The graph of the model. */
  graph: GraphProto
  /** Tensors anywhere in the model whose data is in other files. */
  external: TensorProto[]
  fileBytes: number
}

/**
 * Reads the structure of a model.
 * @throws ScissionError invalidModel if the file is not an ONNX model; the message names its format or the broken place;
 * payloadTooLarge if its structure exceeds the limits.
 * @example
 * const { graph, fileBytes } = readSkeleton('mobilenet.onnx')
 * console.log(graph.node.length, 'nodes in', fileBytes, 'bytes')
 */
export function readSkeleton(file: string, options: SkeletonOptions = {}): Skeleton {
  const wire = new WireFile(file)
  try {
    refuseOtherFormats(wire)
    const scanner = new Scanner(wire, options)
    const model = decode(ModelProtoSchema, scanner.run(), options)
    const { graph, functions } = model
    if (!graph) throw new ScissionError('invalidModel', 'not an ONNX model: the file holds no graph')
    attachLists({ graph, functions }, scanner.lists)
    return { model, graph, external: scanner.external, fileBytes: wire.size }
  } finally {
    wire.close()
  }
}

/** The fields that `interfaceOnly` leaves out. */
const LEFT_OUT = new Map<DescMessage | undefined, readonly number[]>([
  [ModelProtoSchema, [ModelProtoSchema.field.functions.number]],
  [GraphProtoSchema, [GraphProtoSchema.field.node.number, GraphProtoSchema.field.sparseInitializer.number]],
])
/** Depth of the initializers of the model's own graph. */
const INITIALIZER_DEPTH = 2
/** Field numbers of StringStringEntryProto. */
const ENTRY = { key: 1, value: 2 } as const
/** Field numbers of TensorProto. */
const TENSOR = { dataType: 2, name: 8, externalData: 13, dataLocation: 14 } as const
/** The fields of a tensor that `interfaceOnly` keeps. */
const REFERENCE: readonly number[] = [TENSOR.name, TENSOR.externalData, TENSOR.dataLocation]
/** TensorProto.DataLocation. */
const EXTERNAL = 1

/** Payload field → encoding of its wire bytes for a data type: raw layout, varints, or undefined if neither. */
const PAYLOAD_LAYOUT: Readonly<Record<number, (dataType: number) => 'raw' | 'varint' | undefined>> = {
  4: (type) => (type === CODE.FLOAT || type === CODE.COMPLEX64 ? 'raw' : undefined),
  5: () => 'varint',
  7: () => 'varint',
  9: () => 'raw',
  10: (type) => (type === CODE.DOUBLE || type === CODE.COMPLEX128 ? 'raw' : undefined),
  11: () => 'varint',
}

/** The bytes of a rewritten message, or null if nothing in it had to change. */
type Rewritten = Uint8Array[] | null

class Scanner {
  readonly #wire: WireFile
  readonly #options: SkeletonOptions
  readonly #location: string
  readonly #budget: StructureBudget
  readonly external: TensorProto[] = []
  /** Of large attributes, by the index that stands in their place. */
  readonly lists: EncodedElements[][] = []

  constructor(wire: WireFile, options: SkeletonOptions) {
    this.#wire = wire
    this.#options = options
    this.#location = path.basename(wire.path)
    this.#budget = new StructureBudget(options.limits)
  }

  run(): Uint8Array {
    const end = this.#wire.size
    return concatenate(this.#message(MODEL, 0, end, undefined, 0) ?? [this.#copy(0, end)])
  }

  #copy(start: number, end: number): Uint8Array {
    return this.#wire.bytes(start, end - start)
  }

  #enter(place: MessagePath | undefined, depth: number): void {
    if (depth > MAX_DEPTH) this.#wire.fail(`messages are nested deeper than ${MAX_DEPTH}`, place)
    this.#budget.countPart()
  }

  #message(
    layout: MessageLayout,
    start: number,
    end: number,
    place: MessagePath | undefined,
    depth: number,
  ): Rewritten {
    const { type, children } = layout
    this.#enter(place, depth)
    const { interfaceOnly = false } = this.#options
    if (type === TensorProtoSchema) {
      const isReduced = interfaceOnly && depth === INITIALIZER_DEPTH
      return isReduced ? this.#reference(start, end, place) : this.#tensor(layout, start, end, place)
    }
    const wire = this.#wire
    const leftOut = (interfaceOnly && LEFT_OUT.get(type)) || []
    const counts = new Map<number, number>()
    let changed: Uint8Array[] | null = null
    let verbatimFrom = start
    const lists =
      type === AttributeProtoSchema ? new AttributeLists(!interfaceOnly && end - start) : undefined
    wire.position = start
    while (wire.position < end) {
      const fieldStart = wire.position
      const { field, wireType } = this.#tag(end, place)
      const afterTag = wire.position
      const child = wireType === WIRE_BYTES ? children[field] : undefined
      let rewritten: Rewritten = null
      let isKept = true
      if (child) {
        const length = wire.length(end, place)
        const childStart = wire.position
        this.#budget.countBytes(childStart - fieldStart)
        const index = counts.get(field) ?? 0
        counts.set(field, index + 1)
        const childPlace = { label: child.label, index, parent: place }
        rewritten = this.#message(child.layout, childStart, childStart + length, childPlace, depth + 1)
        wire.position = childStart + length
        isKept = !leftOut.includes(field)
      } else {
        isKept = this.#leaf(layout, field, wireType, fieldStart, end, place)
        if (lists && isList(field)) this.#skipList(field * 8 + wireType, end)
        if (lists?.takes({ no: field, wireType, start: fieldStart, from: afterTag, end: wire.position }))
          isKept = false
      }
      if (!rewritten && isKept) continue
      changed ??= []
      if (fieldStart > verbatimFrom) changed.push(this.#copy(verbatimFrom, fieldStart))
      if (rewritten && isKept) {
        changed.push(encodeHeader(field, totalLength(rewritten)))
        // One by one: a graph may have more pieces than a call may have arguments.
        for (const piece of rewritten) changed.push(piece)
      }
      verbatimFrom = wire.position
    }
    if (changed && end > verbatimFrom) changed.push(this.#copy(verbatimFrom, end))
    if (changed && lists && lists.taken.length > 0) changed.push(this.#keepLists(lists.taken))
    return changed
  }

  /** Moves past the elements that follow one of a list. */
  #skipList(tag: number, end: number): void {
    const from = this.#wire.position
    this.#wire.skipAlike(tag, end)
    this.#budget.countBytes(this.#wire.position - from)
  }

  /** Keeps the lists of an attribute as they are. @returns the field that stands in their place. */
  #keepLists(taken: readonly ElementSpan[]): Uint8Array {
    const index = this.lists.push(
      taken.map(({ no, wireType, from, end }) => ({ no, wireType, data: this.#copy(from, end) })),
    )
    return encodeNumber(LISTS_ELSEWHERE, index - 1)
  }

  /** Moves past a field without messages, whose tag was read. @returns true if it is kept. */
  #leaf(
    { unused, known }: MessageLayout,
    field: number,
    wireType: number,
    fieldStart: number,
    end: number,
    place: MessagePath | undefined,
  ): boolean {
    const length = this.#wire.skip(wireType, end, place)
    const isUnused = wireType === WIRE_BYTES && unused.has(field)
    // Of what is skipped by its length only the header counts, which bounds the time of a file full of such fields.
    this.#budget.countBytes(this.#wire.position - fieldStart - (isUnused ? length : 0))
    return !isUnused && (!this.#options.interfaceOnly || known.has(field))
  }

  /** Keeps a tensor's name and its reference to another file. */
  #reference(start: number, end: number, place: MessagePath | undefined): Uint8Array[] {
    const wire = this.#wire
    const kept: Uint8Array[] = []
    let hasLocation = false
    wire.position = start
    while (wire.position < end) {
      const fieldStart = wire.position
      const { field, wireType } = this.#tag(end, place)
      const length = wire.skip(wireType, end, place)
      const isKept = REFERENCE.includes(field)
      this.#budget.countBytes(wire.position - fieldStart - (isKept ? 0 : length))
      if (isKept) kept.push(this.#copy(fieldStart, wire.position))
      hasLocation ||= field === TENSOR.dataLocation
    }
    const tensor = hasLocation ? decode(TensorProtoSchema, concatenate(kept)) : undefined
    if (tensor && isExternal(tensor)) this.external.push(tensor)
    return kept
  }

  #tag(end: number, place: MessagePath | undefined): { field: number; wireType: number } {
    const at = this.#wire.position
    const tag = this.#wire.varint(end, place)
    const field = Math.floor(tag / 8)
    if (field === 0 || field > 0x1fffffff) this.#wire.fail(`field number ${field} does not exist`, place, at)
    return { field, wireType: tag % 8 }
  }

  /** Replaces the payload of one tensor; the payloads of a malformed one, which has two, stay. */
  #tensor(layout: MessageLayout, start: number, end: number, place: MessagePath | undefined): Rewritten {
    const wire = this.#wire
    const payloads: (Span & { field: number; from: number })[] = []
    const left: Span[] = []
    let dataType = 0
    let external = false
    wire.position = start
    while (wire.position < end) {
      const fieldStart = wire.position
      const { field, wireType } = this.#tag(end, place)
      if (wireType === WIRE_VARINT) {
        const value = wire.varint(end, place)
        if (field === TENSOR.dataType) dataType = value
        if (field === TENSOR.dataLocation) external = value === EXTERNAL
        this.#budget.countBytes(wire.position - fieldStart)
        continue
      }
      if (!(field in PAYLOAD_LAYOUT)) {
        if (!this.#leaf(layout, field, wireType, fieldStart, end, place))
          left.push({ start: fieldStart, end: wire.position })
        continue
      }
      const length = wire.skip(wireType, end, place)
      if (payloads.length > 0) this.#budget.countBytes(wire.position - fieldStart)
      // Two are as malformed as millions.
      if (payloads.length < 2)
        payloads.push({ field, start: fieldStart, from: wire.position - length, end: wire.position })
    }
    const [payload] = payloads
    const encoding = payload && payloads.length === 1 && !external ? encodingOf(payload, dataType) : undefined
    if (payload && encoding) left.push({ start: payload.start, end: payload.end })
    else if (payload) this.#budget.countBytes(payload.end - payload.start)
    const pieces = left.length > 0 ? this.#without(left, start, end) : null
    if (external)
      this.external.push(decode(TensorProtoSchema, pieces ? concatenate(pieces) : this.#copy(start, end)))
    if (!payload || !encoding || !pieces) return pieces
    const { from, end: to } = payload
    return [...pieces, externalReference(this.#location, from, to - from, encoding)]
  }

  /** The bytes from `start` to `end` without some spans of them. */
  #without(spans: readonly Span[], start: number, end: number): Uint8Array[] {
    const pieces: Uint8Array[] = []
    let from = start
    for (const span of spans.toSorted((a, b) => a.start - b.start)) {
      if (span.start > from) pieces.push(this.#copy(from, span.start))
      from = span.end
    }
    if (end > from) pieces.push(this.#copy(from, end))
    return pieces
  }
}

/** Bytes of the file, from the first to after the last. */
interface Span {
  start: number
  end: number
}

/** How the bytes of a payload are laid out, if they are many and stay in the file. */
function encodingOf(
  { field, from, end }: { field: number; from: number; end: number },
  dataType: number,
): 'raw' | 'varint' | undefined {
  const encoding = PAYLOAD_LAYOUT[field]?.(dataType)
  return end - from > (encoding === 'varint' ? INLINE_VARINT_BYTES : INLINE_PAYLOAD_BYTES)
    ? encoding
    : undefined
}

/** The scan checks how messages nest; the numbers and strings that it skips may still be broken. */
function decode<T extends DescMessage>(
  schema: T,
  bytes: Uint8Array,
  { interfaceOnly = false }: SkeletonOptions = {},
): MessageShape<T> {
  try {
    return fromBinary(schema, bytes, { readUnknownFields: !interfaceOnly })
  } catch (error) {
    const { message } = coerceError(error)
    throw new ScissionError('invalidModel', `not a valid ONNX file: ${message}`, undefined, error)
  }
}

function totalLength(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0)
}

/** Fields 13 and 14 of a TensorProto, the reference to `length` bytes at `offset` of `location`. */
function externalReference(
  location: string,
  offset: number,
  length: number,
  encoding: 'raw' | 'varint',
): Uint8Array {
  const entries = { location, offset: String(offset), length: String(length) }
  const pairs = Object.entries(encoding === 'raw' ? entries : { ...entries, encoding })
  return concatenate([
    ...pairs.flatMap(([key, value]) =>
      encodeField(
        TENSOR.externalData,
        concatenate([encodeText(ENTRY.key, key), encodeText(ENTRY.value, value)]),
      ),
    ),
    encodeNumber(TENSOR.dataLocation, EXTERNAL),
  ])
}
