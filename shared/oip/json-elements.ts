/** Converts tensor data from JSON (`data`) to the binary form and back. */
import type { Datatype } from '../contracts/common.ts'
import { ScissionError } from '../platform/errors.ts'
import { ELEMENT_BYTES, elementCount, type Tensor } from '../contracts/tensor.ts'
import type { Json } from './exact-json.ts'
import { decodeElements, encodeElements } from './bytes-elements.ts'
import { type FixedDatatype, isLong, type NumberArray, typedView } from './typed-view.ts'

const RANGES = {
  UINT8: [0, 0xff],
  UINT16: [0, 0xffff],
  UINT32: [0, 0xffff_ffff],
  INT8: [-0x80, 0x7f],
  INT16: [-0x8000, 0x7fff],
  INT32: [-0x8000_0000, 0x7fff_ffff],
} as const
const LONG_RANGES = { INT64: [-(2n ** 63n), 2n ** 63n - 1n], UINT64: [0n, 2n ** 64n - 1n] } as const

export interface Described {
  name: string
  /** Appears in error messages: "input 'x'". */
  owner: string
  shape: readonly number[]
  datatype: Datatype
}

/**
 * The binary form of `data`. A value that the datatype cannot hold (a fraction for an integer, a number out of range) is
 * refused, never wrapped or rounded to another integer.
 * @param data a flat array, or one nested like the shape, fully or in part.
 * @throws ScissionError invalidTensor, which names the element.
 */
export function elementsFromJson(tensor: Described, data: Json): Uint8Array {
  const { datatype, owner, shape } = tensor
  if (!Array.isArray(data)) throw new ScissionError('invalidTensor', `${owner}: 'data' must be an array`)
  const count = elementCount(shape)
  // Counted before memory is allocated: a shape can claim more elements than were sent.
  const given = countLeaves(data)
  if (given !== count) {
    throw new ScissionError(
      'invalidTensor',
      `${owner}: shape [${shape.join(',')}] has ${count} elements, 'data' has ${given}`,
    )
  }
  if ((datatype === 'FP16' || datatype === 'BF16') && count > 0) {
    throw new ScissionError(
      'invalidTensor',
      `receiving ${datatype} data via JSON is not supported. ` +
        `Please use the binary data format for input ${tensor.name}`,
    )
  }
  return datatype === 'BYTES' ? strings(tensor, data) : numbers(tensor, datatype, data, count)
}

function countLeaves(items: readonly Json[]): number {
  let count = 0
  for (const item of items) count += Array.isArray(item) ? countLeaves(item) : 1
  return count
}

function forEachLeaf(items: readonly Json[], visit: (value: Json, index: number) => void, first = 0): number {
  let index = first
  for (const item of items) {
    if (Array.isArray(item)) index = forEachLeaf(item, visit, index)
    else {
      visit(item, index)
      index += 1
    }
  }
  return index
}

/** With the flag `u`, a pair of surrogates is one character of another kind: this finds only halves, which no UTF-8 has. */
const LONE_SURROGATE = /\p{Surrogate}/u

function strings(tensor: Described, data: readonly Json[]): Uint8Array {
  const encoder = new TextEncoder()
  const elements: Uint8Array[] = []
  forEachLeaf(data, (value, index) => {
    if (typeof value !== 'string') refuse(tensor, index, value, 'a string')
    if (LONE_SURROGATE.test(value)) refuse(tensor, index, value, 'text; half of a surrogate pair is none')
    elements.push(encoder.encode(value))
  })
  return encodeElements(elements)
}

function numbers(
  tensor: Described,
  datatype: FixedDatatype,
  data: readonly Json[],
  count: number,
): Uint8Array {
  const bytes = new Uint8Array(count * ELEMENT_BYTES[datatype])
  const array = typedView({ name: tensor.name, datatype, shape: [...tensor.shape], bytes })
  if (isLong(array)) {
    forEachLeaf(data, (value, index) => {
      array[index] = toLong(tensor, datatype === 'UINT64' ? 'UINT64' : 'INT64', value, index)
    })
  } else {
    const convert = converterOf(tensor, datatype)
    forEachLeaf(data, (value, index) => {
      array[index] = convert(value, index)
    })
  }
  return bytes
}

function converterOf(tensor: Described, datatype: FixedDatatype): (value: Json, index: number) => number {
  if (datatype === 'BOOL') {
    return (value, index) =>
      typeof value === 'boolean' ? Number(value) : refuse(tensor, index, value, 'true or false')
  }
  if (datatype === 'FP32') return (value, index) => toFloat(tensor, value, index, Math.fround)
  if (datatype in RANGES) {
    const [low, high] = RANGES[datatype as keyof typeof RANGES]
    return (value, index) => {
      if (typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high) return value
      return refuse(tensor, index, value, `a whole number from ${low} to ${high}`)
    }
  }
  return (value, index) => toFloat(tensor, value, index, (wide) => wide)
}

function toFloat(tensor: Described, value: Json, index: number, round: (wide: number) => number): number {
  const wide = typeof value === 'bigint' ? Number(value) : value
  if (typeof wide !== 'number') return refuse(tensor, index, value, 'a number')
  // NaN and infinity were written as such: the parser refuses numbers that it would have to make infinite.
  return Number.isFinite(round(wide)) || !Number.isFinite(wide)
    ? wide
    : refuse(tensor, index, value, 'a number in its range')
}

function toLong(tensor: Described, datatype: 'INT64' | 'UINT64', value: Json, index: number): bigint {
  const [low, high] = LONG_RANGES[datatype]
  // An unsafe double comes from a literal with a fraction or an exponent; its last digits are already lost.
  const exact =
    typeof value === 'bigint' ? value : Number.isSafeInteger(value) ? BigInt(Number(value)) : undefined
  if (exact !== undefined && exact >= low && exact <= high) return exact
  return refuse(tensor, index, value, `a whole number from ${low} to ${high}`)
}

function refuse(tensor: Described, index: number, value: Json, allowed: string): never {
  const shown = jsonText(value).slice(0, 40)
  throw new ScissionError(
    'invalidTensor',
    `${tensor.owner}: element ${index} is ${shown}; ${tensor.datatype} takes ${allowed}`,
  )
}

/** A value as the sender wrote it, for error messages: JSON.stringify throws for bigint and makes null of NaN and infinity. */
export const jsonText = (value: Json): string =>
  typeof value === 'bigint' || typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? '')

/**
 * The data of a tensor as a flat JSON array. NaN and infinity are the bare words NaN, Infinity and -Infinity, as Triton
 * writes them. Values without any form (half precision, bytes that are not UTF-8) are refused, with the advice to ask for
 * binary output.
 * @throws ScissionError badRequest, which names the tensor and the element.
 */
export function elementsToJson(tensor: Tensor): string {
  const { datatype, name } = tensor
  if (datatype === 'FP16' || datatype === 'BF16') {
    throw new ScissionError(
      'badRequest',
      `sending ${datatype} data via JSON is not supported. Please use the binary data format for output ${name}`,
    )
  }
  if (datatype === 'BYTES') return `[${textsOf(tensor).join(',')}]`
  const values = typedView(tensor)
  if (isLong(values)) return `[${values.join(',')}]`
  if (datatype === 'BOOL') return `[${Array.from(values, (value) => value !== 0).join(',')}]`
  if (datatype !== 'FP32' && datatype !== 'FP64') return `[${values.join(',')}]`
  return hasNegativeZero(values) ? `[${Array.from(values, signed).join(',')}]` : `[${values.join(',')}]`
}

/** JavaScript prints -0 as `0`, but JSON has a form for it. */
const signed = (value: number) => (Object.is(value, -0) ? '-0.0' : String(value))

function hasNegativeZero(values: NumberArray): boolean {
  for (let index = 0; index < values.length; index += 1) if (Object.is(values[index], -0)) return true
  return false
}

function textsOf(tensor: Tensor): string[] {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  return decodeElements(tensor.bytes, `output '${tensor.name}'`).map((element, index) => {
    try {
      return JSON.stringify(decoder.decode(element))
    } catch {
      throw new ScissionError(
        'badRequest',
        `output ${tensor.name} has no JSON form: element ${index} is not UTF-8. ` +
          'Please use the binary data format (parameters: {"binary_data": true})',
      )
    }
  })
}
