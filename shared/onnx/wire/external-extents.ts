/**
 * The bytes in other files that an encoded model refers to, found without decoding it: tensors of its graph, of attributes,
 * of bodies and of functions, sparse ones too. A model of 10,000 nodes takes some milliseconds.
 *
 * A weight file may be there in parts only (a machine fetches what its layers need), and ONNX Runtime reads what was never
 * fetched as zeros. So what a sub-model refers to is compared with what is there, independently of who listed it.
 */
import path from 'node:path'
import { elementTypeOf } from './element-types.ts'
import { FieldCursor, fieldsOf, numbersOf, textOf } from './protobuf.ts'

export interface ExternalExtent {
  /** Name of the tensor. */
  tensor: string
  /** Path relative to the model's folder, normalised. */
  path: string
  offset: number
  length: number
}

/** The fields of a message that lead to tensors, by number. Numbers from onnx.proto. */
interface Layout {
  [field: number]: Layout | 'tensor'
}

const SPARSE: Layout = { 1: 'tensor', 2: 'tensor' }
const GRAPH: Layout = { 5: 'tensor', 15: SPARSE }
const ATTRIBUTE: Layout = { 5: 'tensor', 6: GRAPH, 10: 'tensor', 11: GRAPH, 22: SPARSE, 23: SPARSE }
const NODE: Layout = { 5: ATTRIBUTE }
GRAPH[1] = NODE
const FUNCTION: Layout = { 7: NODE, 11: ATTRIBUTE }
const MODEL: Layout = { 7: GRAPH, 25: FUNCTION }

const TENSOR = { dims: 1, dataType: 2, name: 8, externalData: 13, dataLocation: 14 } as const
const ENTRY = { key: 1, value: 2 } as const
/** TensorProto.DataLocation. */
const EXTERNAL = 1
/** Bodies nest two messages a level; deeper models are refused at upload. */
const MAX_DEPTH = 200

/** Messages that lead to tensors. */
const LAYOUTS = { model: MODEL, node: NODE, function: FUNCTION, sparse: SPARSE } as const

/**
 * The references in an encoded message, at any depth.
 * @param kind of the message. @throws Error if the bytes are none, or a reference is none.
 */
export function externalExtents(
  message: Uint8Array,
  kind: keyof typeof LAYOUTS | 'tensor' = 'model',
): ExternalExtent[] {
  if (kind === 'tensor') return extentsOf(message, 0, message.length)
  const found: ExternalExtent[] = []
  const cursor = new FieldCursor(message)
  const visit = (layout: Layout, end: number, depth: number): void => {
    if (depth > MAX_DEPTH) throw new Error(`messages are nested deeper than ${MAX_DEPTH}`)
    while (cursor.next(end)) {
      const inside = layout[cursor.field]
      if (inside === undefined) {
        cursor.skipAlike(end)
        continue
      }
      const { from, to } = cursor
      if (inside === 'tensor') found.push(...extentsOf(message, from, to))
      else {
        cursor.at = from
        visit(inside, to, depth + 1)
        cursor.at = to
      }
    }
  }
  visit(LAYOUTS[kind], message.length, 0)
  return found
}

/** @returns none if the tensor's data is in the model itself, or if it has no element. */
function extentsOf(model: Uint8Array, start: number, end: number): ExternalExtent[] {
  const fields = fieldsOf(model, start, end)
  const last = (wanted: number) => fields.findLast(({ field }) => field === wanted)
  const numbers = (wanted: number) =>
    fields.filter(({ field }) => field === wanted).flatMap((field) => numbersOf(model, field))
  if (numbers(TENSOR.dataLocation).at(-1) !== EXTERNAL) return []
  const nameField = last(TENSOR.name)
  const tensor = nameField ? textOf(model, nameField) : ''
  const entries = new Map(
    fields
      .filter(({ field }) => field === TENSOR.externalData)
      .map(({ from, to }) => entryOf(model, from, to)),
  )
  const location = entries.get('location')
  if (!location) throw new Error(`external data of tensor "${tensor}" names no location`)
  const number = (key: string, otherwise: () => number): number => {
    const value = entries.has(key) ? Number(entries.get(key) || Number.NaN) : otherwise()
    if (Number.isSafeInteger(value) && value >= 0) return value
    throw new Error(`external data of tensor "${tensor}" has no ${key}`)
  }
  const length = number('length', () => {
    const bits = elementTypeOf(numbers(TENSOR.dataType).at(-1) ?? 0)?.bits ?? Number.NaN
    return Math.ceil(numbers(TENSOR.dims).reduce((product, dim) => product * dim, bits) / 8)
  })
  const offset = number('offset', () => 0)
  return length === 0 ? [] : [{ tensor, path: path.posix.normalize(location), offset, length }]
}

function entryOf(model: Uint8Array, start: number, end: number): [string, string] {
  const fields = fieldsOf(model, start, end)
  const text = (wanted: number) => {
    const field = fields.findLast((one) => one.field === wanted)
    return field ? textOf(model, field) : ''
  }
  return [text(ENTRY.key), text(ENTRY.value)]
}

/** A file of which some chunks are there. */
export interface HeldFile {
  path: string
  bytes: number
  chunkBytes: number
  /** Indices of the chunks that are there. */
  held: ReadonlySet<number>
}

/** The first extent of which a byte is not there; undefined if all are. */
export function firstMissing(
  extents: readonly ExternalExtent[],
  files: readonly HeldFile[],
): ExternalExtent | undefined {
  const byPath = new Map(files.map((file) => [file.path, file]))
  return extents.find(({ path: name, offset, length }) => {
    const file = byPath.get(name)
    if (!file || offset + length > file.bytes) return true
    const last = Math.floor((offset + length - 1) / file.chunkBytes)
    for (let index = Math.floor(offset / file.chunkBytes); index <= last; index++)
      if (!file.held.has(index)) return true
    return false
  })
}
