/**
 * Strings on their way into ONNX Runtime and out of it. A BYTES element may hold any bytes, but onnxruntime-node takes and
 * gives JavaScript texts. Found by trying version 1.30:
 *
 *   given to it   a text is cut at its first NUL character; half of a surrogate pair becomes U+FFFD
 *   from it       NUL arrives whole; bytes that are not UTF-8 become U+FFFD
 *
 * So an element that is not UTF-8, or has a NUL, is refused on the way in: nothing is ever changed silently. On the way out a
 * U+FFFD may be real. All inputs are text, so other bytes can only come from the strings in the model's file.
 */
import { ScissionError } from '../../platform/errors.ts'
import { decodeElements, encodeElements } from '../../oip/bytes-elements.ts'
import type { Tensor } from '../../contracts/tensor.ts'

/** The longest text of V8, in UTF-16 units. */
const MAX_TEXT_LENGTH = 2 ** 29 - 24

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The data of a BYTES tensor of texts. */
export const encodeStrings = (texts: readonly string[]): Uint8Array =>
  encodeElements(texts.map((text) => encoder.encode(text)))

/**
 * The elements of a BYTES tensor as texts that ONNX Runtime receives whole.
 * @throws ScissionError invalidValues, which names the tensor and the element, for one that is not UTF-8, has a NUL, or is
 * too long for a text; invalidTensor if a length points past the end.
 */
export function decodeStrings({ name, bytes }: Pick<Tensor, 'name' | 'bytes'>): string[] {
  return decodeElements(bytes, `tensor "${name}"`).map((element, index) => {
    if (element.byteLength > MAX_TEXT_LENGTH)
      throw refuse(
        name,
        index,
        `has ${element.byteLength} bytes; ONNX Runtime takes up to ${MAX_TEXT_LENGTH}`,
      )
    if (element.includes(0))
      throw refuse(name, index, 'has a NUL character, at which ONNX Runtime would cut it')
    try {
      return decoder.decode(element)
    } catch {
      throw refuse(name, index, 'is not UTF-8, and ONNX Runtime takes strings as text only')
    }
  })
}

/**
 * The data of a BYTES tensor that ONNX Runtime made.
 * @param holdsBytes tells whether the model's file has strings that are not UTF-8. It is called only if a text has U+FFFD.
 * @throws ScissionError invalidValues if the tensor's own bytes cannot be known.
 */
export function encodeMade(name: string, texts: readonly string[], holdsBytes: () => boolean): Uint8Array {
  const odd = texts.findIndex((text) => text.includes('\uFFFD'))
  if (odd >= 0 && holdsBytes()) {
    throw refuse(
      name,
      odd,
      'may not be UTF-8: the model holds strings that are not, and ONNX Runtime gives such bytes as U+FFFD only',
    )
  }
  return encodeStrings(texts)
}

function refuse(tensor: string, index: number, why: string): ScissionError {
  return new ScissionError('invalidValues', `tensor "${tensor}": string element ${index} ${why}`, {
    tensor,
    element: index,
  })
}
