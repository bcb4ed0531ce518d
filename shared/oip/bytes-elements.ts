/**
 * Elements of BYTES tensors. Each is encoded as its length (little-endian uint32) and that many bytes; the elements follow
 * one another without padding.
 */
import { ScissionError } from '../platform/errors.ts'

const PREFIX_BYTES = 4

/** The data of a BYTES tensor with these elements. */
export const encodeElements = (elements: readonly Uint8Array[]): Uint8Array =>
  encodeEach(elements.length, (index) => elements[index] ?? new Uint8Array())

/**
 * The same for elements that are made one at a time, twice each: of many small ones together the objects would take far more
 * memory than the data.
 * @param limitBytes maximum of the data. @throws ScissionError payloadTooLarge before anything is allocated.
 */
export function encodeEach(
  count: number,
  elementAt: (index: number) => Uint8Array,
  limitBytes = Number.POSITIVE_INFINITY,
): Uint8Array {
  let total = PREFIX_BYTES * count
  for (let index = 0; index < count && total <= limitBytes; index += 1) total += elementAt(index).byteLength
  if (total > limitBytes)
    throw new ScissionError('payloadTooLarge', `the elements take more than ${limitBytes} bytes`)
  const bytes = new Uint8Array(total)
  const view = new DataView(bytes.buffer)
  let at = 0
  for (let index = 0; index < count; index += 1) {
    const element = elementAt(index)
    view.setUint32(at, element.byteLength, true)
    bytes.set(element, at + PREFIX_BYTES)
    at += PREFIX_BYTES + element.byteLength
  }
  return bytes
}

/**
 * The elements of a BYTES tensor, as views into `bytes`.
 * @param owner appears in error messages: "input 'x'".
 * @throws ScissionError invalidTensor if a length points past the end.
 */
export function decodeElements(bytes: Uint8Array, owner: string): Uint8Array[] {
  const elements: Uint8Array[] = []
  walk(bytes, owner, (start, end) => elements.push(bytes.subarray(start, end)))
  return elements
}

/** Number of elements of a BYTES tensor; allocates nothing. @throws as decodeElements. */
export function countElements(bytes: Uint8Array, owner: string): number {
  return walk(bytes, owner, () => {})
}

/** Calls `visit` for each element. @returns their number. */
function walk(bytes: Uint8Array, owner: string, visit: (start: number, end: number) => void): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  let index = 0
  while (at < bytes.byteLength) {
    const start = at + PREFIX_BYTES
    const end = start <= bytes.byteLength ? start + view.getUint32(at, true) : Number.POSITIVE_INFINITY
    if (end > bytes.byteLength) {
      throw new ScissionError(
        'invalidTensor',
        `${owner}: BYTES element ${index} runs past the end of its ${bytes.byteLength} bytes of data`,
      )
    }
    visit(start, end)
    at = end
    index += 1
  }
  return index
}
