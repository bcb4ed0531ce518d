/**
 * Writes NumPy files: `.npy` for one array, `.npz` for several by name.
 *
 * @see https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html (version 1.0)
 */
import AdmZip from 'adm-zip'
import type { Tensor } from '../contracts/tensor.ts'
import { ScissionError } from '../platform/errors.ts'
import { decodeElements } from '../oip/bytes-elements.ts'
import { NPY_DATATYPES, NPY_MAGIC } from './numpy-types.ts'
import { tensorValues } from './tensor-values.ts'

const DESCRIPTORS = new Map([...NPY_DATATYPES].map(([descr, datatype]) => [datatype, descr]))
/** Magic, version and length of the header, then the header: together a multiple of this. */
const ALIGNMENT = 64
const BEFORE_HEADER = NPY_MAGIC.length + 4

/**
 * One array as a file. NumPy has no bfloat16, which becomes float32; elements of BYTES become byte strings of the length of
 * the longest (`|S7`).
 * @throws ScissionError notSupported for BYTES that end in zeros, which NumPy would drop.
 */
export function writeNpy(tensor: Tensor): Buffer {
  const { descr, data } = encoded(tensor)
  const dims = tensor.shape.length === 1 ? `${tensor.shape[0]},` : tensor.shape.join(', ')
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${dims}), }`
  const size = Math.ceil((BEFORE_HEADER + text.length + 1) / ALIGNMENT) * ALIGNMENT - BEFORE_HEADER
  const length = Buffer.alloc(2)
  length.writeUInt16LE(size)
  const header = Buffer.from(`${text.padEnd(size - 1)}\n`, 'latin1')
  return Buffer.concat([NPY_MAGIC, Buffer.of(1, 0), length, header, data])
}

/** Arrays by their names, as `numpy.load` gives them, in this order. */
export function writeNpz(tensors: readonly Tensor[]): Buffer {
  const zip = new AdmZip({ noSort: true })
  // adm-zip takes names for those of files: `/a`, `../a` and `a` would be one.
  for (const [index, tensor] of tensors.entries())
    zip.addFile(`${index}.npy`, writeNpy(tensor)).entryName = `${tensor.name}.npy`
  return zip.toBuffer()
}

function encoded(tensor: Tensor): { descr: string; data: Uint8Array } {
  const descr = DESCRIPTORS.get(tensor.datatype)
  if (descr !== undefined) return { descr, data: tensor.bytes }
  if (tensor.datatype === 'BYTES') return byteStrings(tensor)
  const values = Float32Array.from(tensorValues(tensor))
  return { descr: '<f4', data: new Uint8Array(values.buffer) }
}

function byteStrings({ name, bytes }: Tensor): { descr: string; data: Uint8Array } {
  const elements = decodeElements(bytes, `output '${name}'`)
  if (elements.some((element) => element.at(-1) === 0))
    throw new ScissionError(
      'notSupported',
      `output ${name}: an element ends in a zero, which NumPy would drop; take --json`,
    )
  const width = Math.max(1, ...elements.map(({ byteLength }) => byteLength))
  const data = new Uint8Array(width * elements.length)
  for (const [index, element] of elements.entries()) data.set(element, index * width)
  return { descr: `|S${width}`, data }
}
