/**
 * Writes ONNX models from encoded parts: a sub-model is mostly copies of parts that were encoded once, so only the two
 * outer messages are framed here and the parts are concatenated. Writing dozens of sub-models takes milliseconds, and a
 * process that does no more than that need not load a protobuf library, which takes 50 ms.
 * Field numbers from onnx.proto (ModelProto, GraphProto, ValueInfoProto).
 */
import type { TypedTensor } from './element-types.ts'
import { concatenate, encodeField, encodeHeader, encodeNumber, encodeText } from './protobuf.ts'

/** Encoded messages by the field they belong in: of the GraphProto, or of the ModelProto for `functions`. */
export interface ModelParts {
  nodes: readonly Uint8Array[]
  initializers: readonly Uint8Array[]
  sparse: readonly Uint8Array[]
  inputs: readonly Uint8Array[]
  outputs: readonly Uint8Array[]
  functions: readonly Uint8Array[]
  /** Types of tensors inside the graph, which need not be declared. */
  inner?: readonly Uint8Array[]
}

/** Field of the local functions in a ModelProto. */
export const MODEL_FUNCTIONS = 25

/** The fields of a ModelProto before and after its graph and functions: encoded once per model. */
export interface ModelFrame {
  prefix: Uint8Array
  suffix: Uint8Array
}

export function assemble(frame: ModelFrame, name: string, parts: ModelParts): Uint8Array {
  const graph: [number, readonly Uint8Array[]][] = [
    [1, parts.nodes],
    [2, [new TextEncoder().encode(name || 'graph')]],
    [5, parts.initializers],
    [11, parts.inputs],
    [12, parts.outputs],
    [13, parts.inner ?? []],
    [15, parts.sparse],
  ]
  const chunks = graph.flatMap(([field, values]) => encodeAll(field, values))
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  const functions = encodeAll(MODEL_FUNCTIONS, parts.functions)
  return concatenate([frame.prefix, encodeHeader(7, length), ...chunks, ...functions, frame.suffix])
}

const encodeAll = (field: number, values: readonly Uint8Array[]): Uint8Array[] =>
  values.flatMap((value) => encodeField(field, value))

const VALUE = { name: 1, type: 2 } as const
const TENSOR_TYPE = 1
const TENSOR = { elementType: 1, shape: 2 } as const
const DIM = 1
const DIM_VALUE = 1
const DIM_PARAM = 2

/** A graph input or output with its type, as a ValueInfoProto; unknown dimensions (below 0) are left open. */
export function encodeValue({ name, code, shape, symbols, anyRank }: TypedTensor): Uint8Array {
  const dims = shape.flatMap((size, axis) => {
    if (size >= 0) return encodeField(DIM, encodeNumber(DIM_VALUE, size))
    const symbol = symbols?.[axis]
    return encodeField(DIM, symbol ? encodeText(DIM_PARAM, symbol) : new Uint8Array(0))
  })
  const tensor = concatenate([
    encodeNumber(TENSOR.elementType, code),
    ...(anyRank ? [] : encodeField(TENSOR.shape, concatenate(dims))),
  ])
  const type = concatenate(encodeField(TENSOR_TYPE, tensor))
  return concatenate([encodeText(VALUE.name, name), ...encodeField(VALUE.type, type)])
}

/** A graph output without a type: ONNX Runtime infers it. */
export function encodeUntypedValue(name: string): Uint8Array {
  return encodeText(VALUE.name, name)
}
