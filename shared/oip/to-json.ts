/**
 * The binary form → a flat JSON array, as text. What JSON has no form for (NaN, infinity, half precision, bytes that
 * are not UTF-8) is refused with the advice to ask for binary output: never a silent null.
 */
import { ScissionError } from '../platform/errors.ts'
import type { Tensor } from '../contracts/tensor.ts'
import { decodeElements } from './bytes-elements.ts'
import { isLong, type NumberArray, typedView } from './typed-view.ts'

/** @throws ScissionError badRequest naming the tensor and the element. */
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
  return hasNegativeZero(tensor, values)
    ? `[${Array.from(values, signed).join(',')}]`
    : `[${values.join(',')}]`
}

/** `-0` prints as 0 in JavaScript, though JSON can say it. */
const signed = (value: number) => (Object.is(value, -0) ? '-0.0' : String(value))

/** Checks on the way that every value is finite. */
function hasNegativeZero(tensor: Tensor, values: NumberArray): boolean {
  let found = false
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index] ?? 0
    if (!Number.isFinite(value)) throw notInJson(tensor, index, String(value))
    if (value === 0 && Object.is(value, -0)) found = true
  }
  return found
}

function textsOf(tensor: Tensor): string[] {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  return decodeElements(tensor.bytes, `output '${tensor.name}'`).map((element, index) => {
    try {
      return JSON.stringify(decoder.decode(element))
    } catch {
      throw notInJson(tensor, index, 'not UTF-8')
    }
  })
}

function notInJson(tensor: Tensor, index: number, what: string): ScissionError {
  return new ScissionError(
    'badRequest',
    `output ${tensor.name} has no JSON form: element ${index} is ${what}. ` +
      'Please use the binary data format (parameters: {"binary_data": true})',
  )
}
