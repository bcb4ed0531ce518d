/**
 * Reads NumPy files: `.npy` holds one array, `.npz` is a zip archive of them. The bytes come from clients, so every offset
 * and size is checked, and unpacked content is limited in size.
 *
 * @see https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html (versions 1.0 to 3.0)
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT 4.3 (zip; 64-bit archives are refused)
 */
import { inflateRawSync } from 'node:zlib'
import type { Datatype } from '../../../shared/contracts/common.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { byteLength, type Tensor } from '../../../shared/contracts/tensor.ts'

export type NumpyArray = Omit<Tensor, 'name'>

const NPY_MAGIC = Buffer.from('\x93NUMPY', 'latin1')
const ZIP_ENTRY = 0x02_01_4b_50
const ZIP_END = 0x06_05_4b_50
const ZIP_END_BYTES = 22
const ZIP_LONGEST_COMMENT = 65_535
const STORED = 0
const DEFLATED = 8

/** NumPy's type descriptors: `<` is little-endian, as in the protocol; `|` marks types of one byte. */
const DATATYPES: Readonly<Record<string, Datatype>> = {
  '|b1': 'BOOL',
  '|u1': 'UINT8',
  '<u2': 'UINT16',
  '<u4': 'UINT32',
  '<u8': 'UINT64',
  '|i1': 'INT8',
  '<i2': 'INT16',
  '<i4': 'INT32',
  '<i8': 'INT64',
  '<f2': 'FP16',
  '<f4': 'FP32',
  '<f8': 'FP64',
}

export const isNpy = (bytes: Uint8Array): boolean => NPY_MAGIC.equals(bytes.subarray(0, NPY_MAGIC.length))
export const isNpz = (bytes: Uint8Array): boolean =>
  Buffer.from(bytes.subarray(0, 2)).toString('latin1') === 'PK'

/** Reads one array. @param owner what error messages call the file. @throws ScissionError invalidTensor. */
export function readNpy(bytes: Uint8Array, owner: string): NumpyArray {
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
  const datatype = DATATYPES[descr]
  if (!datatype)
    throw refuse(`NumPy type ${descr} is not taken; there are ${Object.keys(DATATYPES).join(' ')}`)
  const shape = dims
    .split(',')
    .filter((dim) => dim.trim() !== '')
    .map(Number)
  if (order === 'True' && shape.length > 1)
    throw refuse('its order is Fortran’s; save numpy.ascontiguousarray(…) of it')
  const data = bytes.subarray(end)
  const wanted = byteLength(datatype, shape)
  if (data.byteLength !== wanted)
    throw refuse(
      `${descr} of shape (${shape.join(', ')}) takes ${wanted} bytes, ${data.byteLength} follow the header`,
    )
  return { datatype, shape, bytes: data }
}

/**
 * Reads the arrays of an archive by name, in the archive's order.
 * @param owner what error messages call the file. @param limitBytes maximum of all arrays together. @throws ScissionError invalidTensor, payloadTooLarge.
 */
export function readNpz(bytes: Uint8Array, owner: string, limitBytes: number): Map<string, NumpyArray> {
  const zip = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const refuse = (why: string) => new ScissionError('invalidTensor', `${owner}: ${why}`)
  const arrays = new Map<string, NumpyArray>()
  let left = limitBytes
  try {
    for (const entry of entriesOf(zip, refuse)) {
      const name = entry.name.replace(/\.npy$/, '')
      const content = unpacked(zip, entry, left, refuse)
      left -= content.byteLength
      arrays.set(name, readNpy(content, `${owner}, ${entry.name}`))
    }
  } catch (thrown) {
    if (thrown instanceof RangeError && 'code' in thrown && thrown.code === 'ERR_BUFFER_TOO_LARGE')
      throw new ScissionError('payloadTooLarge', `${owner}: its arrays take more than ${limitBytes} bytes`)
    if (thrown instanceof ScissionError) throw thrown
    // An offset outside of the file, or an error of inflate for damaged data.
    throw refuse(`the .npz file is damaged: ${coerceError(thrown).message}`)
  }
  return arrays
}

interface ZipEntry {
  name: string
  method: number
  packedBytes: number
  /** Offset of the entry's local header. */
  local: number
}

/** Lists the entries of the central directory, which stands at the end of the archive. */
function* entriesOf(zip: Buffer, refuse: (why: string) => ScissionError): Generator<ZipEntry> {
  const end = endOf(zip)
  if (end === undefined) throw refuse('it is no .npz file, or its end is missing')
  const count = zip.readUInt16LE(end + 10)
  let at = zip.readUInt32LE(end + 16)
  if (count === 0xff_ff || at === 0xff_ff_ff_ff) throw refuse('64-bit archives are not taken')
  for (let index = 0; index < count; index += 1) {
    if (zip.readUInt32LE(at) !== ZIP_ENTRY) throw refuse('the directory of the .npz file is damaged')
    const nameBytes = zip.readUInt16LE(at + 28)
    yield {
      name: zip.toString('utf8', at + 46, at + 46 + nameBytes),
      method: zip.readUInt16LE(at + 10),
      packedBytes: zip.readUInt32LE(at + 20),
      local: zip.readUInt32LE(at + 42),
    }
    at += 46 + nameBytes + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32)
  }
}

function endOf(zip: Buffer): number | undefined {
  const earliest = Math.max(0, zip.length - ZIP_END_BYTES - ZIP_LONGEST_COMMENT)
  for (let at = zip.length - ZIP_END_BYTES; at >= earliest; at -= 1)
    if (zip.readUInt32LE(at) === ZIP_END) return at
  return undefined
}

function unpacked(
  zip: Buffer,
  { name, method, packedBytes, local }: ZipEntry,
  maxOutputLength: number,
  refuse: (why: string) => ScissionError,
): Uint8Array {
  const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
  const packed = zip.subarray(start, start + packedBytes)
  if (packed.length < packedBytes) throw refuse(`the .npz file ends in ${name}`)
  if (method === STORED) return packed
  if (method !== DEFLATED) throw refuse(`${name} is packed by method ${method}; save with numpy.savez`)
  return inflateRawSync(packed, { maxOutputLength: Math.max(1, maxOutputLength) })
}
