/** What the rules for made-up inputs look up of a node: attributes, constants, shapes. */
import { CODE } from '../wire/element-types.ts'
import { isExternal } from '../wire/external-data.ts'
import type { NodeProto, TensorProto } from '../proto/onnx_pb.ts'
import { listsOf } from '../wire/large-lists.ts'
import { rawBytes, tensorBytes } from '../wire/tensor-data.ts'
import type { Types } from '../canonical/infer-shapes.ts'

/** A longer constant is a weight: no rule looks at its values. */
const MAX_CONSTANT_BYTES = 64 * 1024

const decoder = new TextDecoder()

export class NodeValues {
  readonly #types: Types
  readonly #constants: Map<string, TensorProto>

  constructor(types: Types, constants: ReadonlyMap<string, TensorProto>) {
    this.#types = types
    this.#constants = new Map(constants)
  }

  /** Adds the constants of a body. */
  add(constants: readonly TensorProto[]): void {
    for (const tensor of constants) this.#constants.set(tensor.name, tensor)
  }

  /** The sizes of a tensor, -1 for unknown ones; undefined if the rank is unknown. */
  shape(name: string | undefined): readonly number[] | undefined {
    const constant = this.#constants.get(name ?? '')
    if (constant) return constant.dims.map(Number)
    return this.#types.get(name ?? '')?.shape
  }

  /** One size of a tensor; undefined if it is unknown. @param axis counted from the end if negative. */
  size(name: string | undefined, axis: number): number | undefined {
    const size = this.shape(name)?.at(axis)
    return size === undefined || size < 0 ? undefined : size
  }

  /** Sizes that a matrix product with one of the constants needs, the first few that differ. */
  rowCounts(most: number): number[] {
    const rows = new Set<number>()
    for (const { dims } of this.#constants.values()) {
      if (dims.length === 2 && (dims[0] ?? 0n) > 1n) rows.add(Number(dims[0]))
      if (rows.size === most) break
    }
    return [...rows]
  }

  code(name: string | undefined): number | undefined {
    return this.#constants.get(name ?? '')?.dataType ?? this.#types.get(name ?? '')?.code
  }

  /** The numbers of a small constant; undefined for anything else. */
  numbers(name: string | undefined): number[] | undefined {
    const tensor = this.#constants.get(name ?? '')
    const read = tensor && READERS[tensor.dataType]
    if (!tensor || !read || isExternal(tensor) || tensorBytes(tensor) > MAX_CONSTANT_BYTES) return undefined
    return read(rawBytes(tensor, '').slice().buffer)
  }

  /** The texts of a constant of strings; undefined for anything else. */
  texts(name: string | undefined): string[] | undefined {
    const tensor = this.#constants.get(name ?? '')
    if (tensor?.dataType !== CODE.STRING) return undefined
    return tensor.stringData.map((text) => decoder.decode(text))
  }
}

const READERS: Readonly<Record<number, (buffer: ArrayBuffer) => number[]>> = {
  [CODE.FLOAT]: (buffer) => Array.from(new Float32Array(buffer)),
  [CODE.DOUBLE]: (buffer) => Array.from(new Float64Array(buffer)),
  [CODE.FLOAT16]: (buffer) => Array.from(new Uint16Array(buffer), halfValue),
  [CODE.INT64]: (buffer) => Array.from(new BigInt64Array(buffer), Number),
  [CODE.INT32]: (buffer) => Array.from(new Int32Array(buffer)),
  [CODE.BOOL]: (buffer) => Array.from(new Uint8Array(buffer)),
  [CODE.UINT8]: (buffer) => Array.from(new Uint8Array(buffer)),
  [CODE.INT8]: (buffer) => Array.from(new Int8Array(buffer)),
}

/** IEEE 754 half precision. */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const mantissa = bits & 0x3ff
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25)
}

const attribute = (node: NodeProto, name: string) => node.attribute.find((one) => one.name === name)

export const integerAttribute = (node: NodeProto, name: string, otherwise: number): number =>
  Number(attribute(node, name)?.i ?? otherwise)

/** The list of an attribute of texts or integers, or of a tensor; undefined if the node does not have it. */
export function listAttribute(node: NodeProto, name: string): (string | number)[] | undefined {
  const found = attribute(node, name)
  if (!found) return undefined
  const { ints, floats, strings } = listsOf(found)
  const { t } = found
  if (strings.length > 0) return strings.map((text) => decoder.decode(text))
  if (ints.length > 0) return ints.map(Number)
  if (floats.length > 0) return [...floats]
  if (!t) return undefined
  const values = new NodeValues(new Map(), new Map([['', t]]))
  return values.texts('') ?? values.numbers('')
}
