/**
 * Reads NumPy files: `.npy` holds one array, `.npz` is a zip archive of them. The bytes come from clients, so every offset
 * and size is checked (of the archive by zip-entries.ts), and unpacked content is limited in size. Arrays of texts become BYTES.
 *
 * @see https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html (versions 1.0 to 3.0)
 */
import { ScissionError } from '../platform/errors.ts'
import { byteLength, elementCount, type Tensor } from '../contracts/tensor.ts'
import { turnEvery } from '../platform/turns.ts'
import { countElements, encodeEach } from '../oip/bytes-elements.ts'
import { NPY_DATATYPES as DATATYPES, NPY_MAGIC } from './numpy-types.ts'
import { inflateEntry } from './inflate-entry.ts'
import { inTensorOrder } from './numpy-order.ts'
import { pickledTexts } from './pickled-texts.ts'
import { zipEntries } from './zip-entries.ts'

export type NumpyArray = Omit<Tensor, 'name'>

/** Texts of a `.npy` file that is read on its own take no more: they can take any multiple of their file. */
const MAX_TEXT_BYTES = 2 ** 30
/** Any number of empty texts would fit into a file that holds nothing. */
const MAX_EMPTY_TEXTS = 1_000_000
/** Bytes of an archive's small arrays that are unpacked in one go, which takes some milliseconds. */
const TURN_BYTES = 256 * 1024
/** An array takes at least as long as unpacking this many. */
const ARRAY_BYTES = 2048

export const isNpy = (bytes: Uint8Array): boolean => NPY_MAGIC.equals(bytes.subarray(0, NPY_MAGIC.length))
export const isNpz = (bytes: Uint8Array): boolean =>
  Buffer.from(bytes.subarray(0, 2)).toString('latin1') === 'PK'

/**
 * Reads one array.
 * @param owner what error messages call the file. @param limitBytes maximum of the elements of texts. @defaultValue 1 GiB
 * @throws ScissionError invalidTensor, payloadTooLarge.
 */
export function readNpy(bytes: Uint8Array, owner: string, limitBytes = MAX_TEXT_BYTES): NumpyArray {
  const refuse = (why: string) => new ScissionError('invalidTensor', `${owner}: ${why}`)
  if (!isNpy(bytes)) throw refuse('it is no .npy file')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const long = (bytes[6] ?? 0) > 1
  const at = long ? 12 : 10
  if (bytes.length < at) throw refuse('the .npy file ends in its header')
  const end = at + (long ? view.getUint32(8, true) : view.getUint16(8, true))
  if (end > bytes.length) throw refuse('the .npy file ends in its header')
  const header = Buffer.from(bytes.subarray(at, end)).toString('latin1')
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(header)?.[1]
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(header)?.[1]
  const dims = /'shape'\s*:\s*\(([\d,\s]*)\)/.exec(header)?.[1]
  if (descr === undefined || order === undefined || dims === undefined)
    throw refuse('the header of the .npy file cannot be read')
  const shape = dims
    .split(',')
    .filter((dim) => dim.trim() !== '')
    .map(Number)
  const data = bytes.subarray(end)
  const isFortran = order === 'True'
  // Every processor that this runs on is little-endian, so `=` is `<`.
  const datatype = DATATYPES.get(descr.replace(/^[>=](?=[uif][248]$)/, '<'))
  if (!datatype && isFortran && shape.length > 1)
    throw refuse('its texts are in the order of Fortran; save numpy.ascontiguousarray(…) of it')
  if (!datatype) return { datatype: 'BYTES', shape, bytes: textsOf(descr, shape, data, refuse, limitBytes) }
  const wanted = byteLength(datatype, shape)
  if (data.byteLength !== wanted) throw refuse(wrongLength(descr, shape, wanted, data))
  const size = wanted / Math.max(1, elementCount(shape))
  const isBigEndian = descr.startsWith('>')
  return { datatype, shape, bytes: inTensorOrder(data, size, shape, { isBigEndian, isFortran }) }
}

type Refuse = (why: string) => ScissionError

const wrongLength = (
  descr: string,
  shape: readonly number[],
  wanted: number,
  { byteLength: have }: Uint8Array,
) => `${descr} of shape (${shape.join(', ')}) takes ${wanted} bytes, ${have} follow the header`

/** Texts: `<U7` is seven characters of UTF-32, `|S7` seven bytes, both filled up with zeros; `|O` is a pickled list. */
function textsOf(
  descr: string,
  shape: readonly number[],
  data: Uint8Array,
  refuse: Refuse,
  limitBytes: number,
): Uint8Array {
  const count = elementCount(shape)
  if (descr === '|O') {
    const texts = pickledTexts(data, refuse, limitBytes)
    const found = countElements(texts, 'the pickled list')
    if (found !== count) throw refuse(`its shape has ${count} elements, ${found} texts are pickled`)
    return texts
  }
  const [, kind, length] = /^([<|][US])(\d{1,9})$/.exec(descr) ?? []
  if (length === undefined) {
    const types = [...DATATYPES.keys(), '<U…', '|S…', '|O (of texts)']
    throw refuse(`NumPy type ${descr} is not taken; there are ${types.join(' ')}`)
  }
  const size = Number(length) * (kind === '<U' ? 4 : 1)
  if (size === 0 && count > MAX_EMPTY_TEXTS)
    throw refuse(`it holds ${count} texts of type ${descr}, at most ${MAX_EMPTY_TEXTS} empty ones are read`)
  if (data.byteLength !== count * size) throw refuse(wrongLength(descr, shape, count * size, data))
  const element = (at: number) => data.subarray(at * size, (at + 1) * size)
  const elementAt = (at: number) =>
    kind === '<U' ? fromUtf32(element(at), refuse) : withoutZeros(element(at))
  return encodeEach(count, elementAt, limitBytes)
}

function withoutZeros(bytes: Uint8Array): Uint8Array {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end -= 1
  return bytes.subarray(0, end)
}

function fromUtf32(bytes: Uint8Array, refuse: Refuse): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const codes = Array.from({ length: bytes.byteLength / 4 }, (_, at) => view.getUint32(at * 4, true))
  if (codes.some((code) => code > 0x10_ff_ff)) throw refuse('it holds a character that does not exist')
  const text = codes.map((code) => String.fromCodePoint(code)).join('')
  return Buffer.from(text.replace(/\0+$/, ''))
}

/**
 * Reads the arrays of an archive by name, in the archive's order: one after another, each unpacked piece by piece.
 * @param owner what error messages call the file. @param limitBytes maximum of all arrays together; what would exceed it is not
 *   unpacked. @throws ScissionError invalidTensor, payloadTooLarge.
 */
export async function readNpz(
  bytes: Uint8Array,
  owner: string,
  limitBytes: number,
): Promise<Map<string, NumpyArray>> {
  const refuse = (why: string) => new ScissionError('invalidTensor', `${owner}: ${why}`)
  const arrays = new Map<string, NumpyArray>()
  const entries = await zipEntries(bytes, refuse)
  let left = limitBytes
  // All of it is known before anything is unpacked.
  if (entries.reduce((sum, { size }) => sum + size, 0) > limitBytes)
    throw new ScissionError('payloadTooLarge', `${owner}: its arrays take more than ${limitBytes} bytes`)
  const arrayDone = turnEvery(TURN_BYTES)
  for (const entry of entries) {
    const name = entry.name.replace(/\.npy$/, '')
    if (arrays.has(name)) throw refuse(`it holds two arrays named ${name}`)
    const array = readNpy(await inflateEntry(entry, refuse), `${owner}, ${entry.name}`, left)
    left -= Math.max(entry.size, array.bytes.byteLength)
    arrays.set(name, array)
    await arrayDone(ARRAY_BYTES + entry.size)
  }
  return arrays
}
