/** What NumPy's files call types of elements. */
import type { Datatype } from '../contracts/common.ts'

export const NPY_MAGIC = Buffer.from('\x93NUMPY', 'latin1')

/** NumPy's type descriptors: `<` is little-endian, as in the protocol; `|` marks types of one byte. */
export const NPY_DATATYPES: ReadonlyMap<string, Datatype> = new Map([
  ['|b1', 'BOOL'],
  ['|u1', 'UINT8'],
  ['<u2', 'UINT16'],
  ['<u4', 'UINT32'],
  ['<u8', 'UINT64'],
  ['|i1', 'INT8'],
  ['<i2', 'INT16'],
  ['<i4', 'INT32'],
  ['<i8', 'INT64'],
  ['<f2', 'FP16'],
  ['<f4', 'FP32'],
  ['<f8', 'FP64'],
])
