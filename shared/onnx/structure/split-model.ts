/**
 * Splits an encoded model into its encoded parts, of which sub-models are put together (encode-range.ts). Nothing is decoded
 * but the names of tensors: to load a protobuf library, decode a network of a thousand layers and encode its parts again
 * takes a new process as long as twenty runs of the network, and the attributes of one tree ensemble may have 60 MB. Only
 * of a model with bodies or functions, nodes are decoded.
 *
 * For models that Scission wrote: wire/skeleton.ts reads those of strangers.
 */
import { functionsByKey, operatorKeys } from '../canonical/functions.ts'
import { usesOf } from '../canonical/scope.ts'
import { type ModelFrame, MODEL_FUNCTIONS } from '../wire/model-writer.ts'
import { concatenate, FieldCursor, fieldsOf, textOf, type WireField } from '../wire/protobuf.ts'
import type { EncodedNode } from './encode-range.ts'

/** Field numbers of onnx.proto. */
const MODEL = { graph: 7, metadata: 14 } as const
/** Of the GraphProto. */
export const GRAPH = { node: 1, initializer: 5, input: 11, valueInfo: 13, sparse: 15 } as const
const NODE = { input: 1, output: 2, attribute: 5 } as const
/** AttributeProto: `g` and `graphs`. */
const BODIES = [6, 11]
const ENTRY = { key: 1, value: 2 } as const
const TENSOR_NAME = 8
const SPARSE_VALUES = 1
const VALUE_NAME = 1

/** Paths to the name of a message: fields from the outside in. */
export const NAME_IN = {
  tensor: [TENSOR_NAME],
  sparse: [SPARSE_VALUES, TENSOR_NAME],
  value: [VALUE_NAME],
} as const

export interface ModelParts {
  /** The fields of the model around its graph and functions, as they are. */
  frame: ModelFrame
  metadata: ReadonlyMap<string, string>
  /** The graph's messages of one field. */
  graph: (field: number) => Uint8Array[]
  nodes: EncodedNode[]
  functions: EncodedFunctions
}

type EncodedFunctions = ReadonlyMap<string, { bytes: Uint8Array; calls: Iterable<string> }>

/** @throws Error if the bytes are no model. */
export async function splitModel(bytes: Uint8Array): Promise<ModelParts> {
  const model = fieldsOf(bytes)
  const graph = model.find(({ field }) => field === MODEL.graph)
  if (!graph) throw new Error('the file holds no graph')
  const fields = fieldsOf(bytes, graph.from, graph.to)
  const payloads = (all: readonly WireField[], wanted: number) =>
    all.filter(({ field }) => field === wanted).map(({ from, to }) => bytes.subarray(from, to))
  const nodes = payloads(fields, GRAPH.node)
  const functions = payloads(model, MODEL_FUNCTIONS)
  const isPlain = functions.length === 0 && !nodes.some(hasBodies)
  const decoder = isPlain ? PLAIN : await loadDecoder()
  const around = model.filter(({ field }) => !NOT_FRAME.includes(field))
  const frameOf = (part: readonly WireField[]) =>
    concatenate(part.map(({ start, to }) => bytes.subarray(start, to)))
  return {
    frame: {
      prefix: frameOf(around.filter(({ start }) => start < graph.start)),
      suffix: frameOf(around.filter(({ start }) => start > graph.start)),
    },
    metadata: new Map(payloads(model, MODEL.metadata).map(entryOf)),
    graph: (wanted) => payloads(fields, wanted),
    nodes: nodes.map((node) => nodeOf(node, decoder)),
    functions: decoder.functions(functions),
  }
}

const NOT_FRAME: readonly number[] = [MODEL.graph, MODEL.metadata, MODEL_FUNCTIONS]

const entryOf = (entry: Uint8Array): [string, string] => [
  textIn(entry, [ENTRY.key]),
  textIn(entry, [ENTRY.value]),
]

/** Reads what stands deeper in an encoded node, and functions. */
interface Decoder {
  /** What a node reads and calls, its bodies included. @param inputs the node's own. */
  node: (bytes: Uint8Array, inputs: readonly string[]) => Pick<EncodedNode, 'uses' | 'calls'>
  functions: (encoded: readonly Uint8Array[]) => EncodedFunctions
}

/** For models without bodies and functions. */
const PLAIN: Decoder = {
  node: (_bytes, inputs) => ({ uses: inputs, calls: [] }),
  functions: () => new Map(),
}

/** Loads the protobuf library, for the few models with If, Loop, Scan or functions. */
async function loadDecoder(): Promise<Decoder> {
  const [{ fromBinary }, { FunctionProtoSchema, NodeProtoSchema }] = await Promise.all([
    import('@bufbuild/protobuf'),
    import('../proto/onnx_pb.ts'),
  ])
  return {
    node: (bytes) => {
      const node = fromBinary(NodeProtoSchema, bytes)
      return { uses: usesOf(node), calls: operatorKeys([node]) }
    },
    functions: (encoded) => {
      const decoded = new Map(encoded.map((bytes) => [fromBinary(FunctionProtoSchema, bytes), { bytes }]))
      return functionsByKey([...decoded.keys()], (fn) => decoded.get(fn)!)
    },
  }
}

function hasBodies(node: Uint8Array): boolean {
  return fieldsOf(node)
    .filter(({ field }) => field === NODE.attribute)
    .some(({ from, to }) => hasField(node, BODIES, from, to))
}

/** Without a list of the fields, of which an attribute may have millions. */
function hasField(bytes: Uint8Array, wanted: readonly number[], from: number, to: number): boolean {
  const cursor = new FieldCursor(bytes, from)
  while (cursor.next(to)) {
    if (wanted.includes(cursor.field)) return true
    cursor.skipAlike(to)
  }
  return false
}

function nodeOf(bytes: Uint8Array, decoder: Decoder): EncodedNode {
  const fields = fieldsOf(bytes)
  const texts = (wanted: number) =>
    fields.filter(({ field }) => field === wanted).map((field) => textOf(bytes, field))
  const inputs = texts(NODE.input).filter(Boolean)
  return { bytes, outputs: texts(NODE.output).filter(Boolean), ...decoder.node(bytes, inputs) }
}

/** Follows a path of fields from message to message. @returns undefined if one is missing. */
export function fieldAt(message: Uint8Array, path: readonly number[]): WireField | undefined {
  let found: WireField | undefined
  for (const wanted of path) {
    const inside = fieldsOf(message, found?.from, found?.to)
    found = inside.findLast(({ field }) => field === wanted)
    if (!found) return undefined
  }
  return found
}

/** The text at the end of a path of fields; empty if there is none. */
export function textIn(message: Uint8Array, path: readonly number[]): string {
  const field = fieldAt(message, path)
  return field ? textOf(message, field) : ''
}
