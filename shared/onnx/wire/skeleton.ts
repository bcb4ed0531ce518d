/**
 * Reads a model's structure without its weights.
 *
 * The file is scanned with bounded reads. Every tensor payload above a small limit stays in the file and is replaced by an
 * external-data reference to its place (the file's own name, offset, length): `raw_data`, packed `float_data` and packed
 * `double_data` have exactly the layout of external data. So the memory needed does not depend on the weights, and models
 * written from the skeleton refer to the original. Everything else, unknown fields included, is kept unchanged.
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
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from '../proto/onnx_pb.ts'
import { refuseOtherFormats } from './other-formats.ts'
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
/** Bounds on what a structure may hold: ten times the largest real models seen; memory follows them. */
const SKELETON_LIMITS = { bytes: 32 * 1024 * 1024, messages: 500_000, depth: 100 } as const

export interface SkeletonOptions {
  /**
   * Keeps only opsets, inputs, outputs and the names of initializers. The rest is still checked, and its external references
   * collected, but no objects are made of it: 27 MB of empty fields that are not in onnx.proto became 1.7 GB of objects.
   */
  interfaceOnly?: boolean
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
 * @throws ScissionError invalidModel if the file is not an ONNX model; the message names its format or the broken place.
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
    const { graph } = model
    if (!graph) throw new ScissionError('invalidModel', 'not an ONNX model: the file holds no graph')
    return { model, graph, external: scanner.external, fileBytes: wire.size }
  } finally {
    wire.close()
  }
}

/** A message type and its fields that hold messages, by field number. */
interface Layout {
  type?: DescMessage
  children: Record<number, { label: string; layout: Layout }>
}

const layouts = new Map<DescMessage, Layout>()
function layoutOf(type: DescMessage): Layout {
  const known = layouts.get(type)
  if (known) return known
  const layout: Layout = { type, children: {} }
  layouts.set(type, layout)
  for (const { number, name, message } of type.fields) {
    if (message) layout.children[number] = { label: name, layout: layoutOf(message) }
  }
  return layout
}

const MODEL = layoutOf(ModelProtoSchema)
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
  readonly external: TensorProto[] = []
  #messages = 0
  #bytes = 0

  constructor(wire: WireFile, options: SkeletonOptions) {
    this.#wire = wire
    this.#options = options
    this.#location = path.basename(wire.path)
  }

  run(): Uint8Array {
    const end = this.#wire.size
    return concatenate(this.#message(MODEL, 0, end, undefined, 0) ?? [this.#copy(0, end)])
  }

  #copy(start: number, end: number): Uint8Array {
    this.#bytes += end - start
    if (this.#bytes > SKELETON_LIMITS.bytes) {
      throw new ScissionError(
        'invalidModel',
        `the model's structure without its weights is larger than ${SKELETON_LIMITS.bytes} bytes`,
      )
    }
    return this.#wire.bytes(start, end - start)
  }

  #enter(place: MessagePath | undefined, depth: number): void {
    if (depth > SKELETON_LIMITS.depth)
      this.#wire.fail(`messages are nested deeper than ${SKELETON_LIMITS.depth}`, place)
    if (++this.#messages > SKELETON_LIMITS.messages)
      this.#wire.fail(`the structure has more than ${SKELETON_LIMITS.messages} parts`, place)
  }

  #message(
    { type, children }: Layout,
    start: number,
    end: number,
    place: MessagePath | undefined,
    depth: number,
  ): Rewritten {
    this.#enter(place, depth)
    const { interfaceOnly = false } = this.#options
    if (type === TensorProtoSchema) {
      const isReduced = interfaceOnly && depth === INITIALIZER_DEPTH
      return isReduced ? this.#reference(start, end, place) : this.#tensor(start, end, place)
    }
    const wire = this.#wire
    const leftOut = (interfaceOnly && LEFT_OUT.get(type)) || []
    const counts = new Map<number, number>()
    let changed: Uint8Array[] | null = null
    let verbatimFrom = start
    wire.position = start
    while (wire.position < end) {
      const fieldStart = wire.position
      const { field, wireType } = this.#tag(end, place)
      const child = wireType === WIRE_BYTES ? children[field] : undefined
      if (!child) {
        wire.skip(wireType, end, place)
        continue
      }
      const length = wire.length(end, place)
      const childStart = wire.position
      const index = counts.get(field) ?? 0
      counts.set(field, index + 1)
      const childPlace = { label: child.label, index, parent: place }
      const rewritten = this.#message(child.layout, childStart, childStart + length, childPlace, depth + 1)
      wire.position = childStart + length
      const isKept = !leftOut.includes(field)
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
    return changed
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
      wire.skip(wireType, end, place)
      if (REFERENCE.includes(field)) kept.push(this.#copy(fieldStart, wire.position))
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

  /** Replaces the payload of one tensor; a tensor with two payloads is malformed and stays unchanged. */
  #tensor(start: number, end: number, place: MessagePath | undefined): Rewritten {
    const wire = this.#wire
    const payloads: { field: number; fieldStart: number; start: number; end: number }[] = []
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
        continue
      }
      const length = wire.skip(wireType, end, place)
      if (field in PAYLOAD_LAYOUT)
        payloads.push({ field, fieldStart, start: wire.position - length, end: wire.position })
    }
    if (external) {
      this.external.push(decode(TensorProtoSchema, this.#copy(start, end)))
      return null
    }
    const [payload] = payloads
    if (!payload || payloads.length > 1) return null
    const encoding = PAYLOAD_LAYOUT[payload.field]?.(dataType)
    const length = payload.end - payload.start
    if (!encoding || length <= (encoding === 'varint' ? INLINE_VARINT_BYTES : INLINE_PAYLOAD_BYTES))
      return null
    const reference = externalReference(this.#location, payload.start, length, encoding)
    return [this.#copy(start, payload.fieldStart), this.#copy(payload.end, end), reference]
  }
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
