/** Writes NumPy's files, after their published formats, which shared/tensors/read-numpy.ts names. */
import { deflateRawSync } from 'node:zlib'
import type { Datatype } from '../../shared/contracts/common.ts'
import { byteLength } from '../../shared/contracts/tensor.ts'

const DESCR: Partial<Record<Datatype, string>> = {
  BOOL: '|b1',
  UINT8: '|u1',
  UINT16: '<u2',
  UINT32: '<u4',
  UINT64: '<u8',
  INT8: '|i1',
  INT16: '<i2',
  INT32: '<i4',
  INT64: '<i8',
  FP16: '<f2',
  FP32: '<f4',
  FP64: '<f8',
}

/** @param bytes of the elements; default: 0, 1, 2, … */
export function npyOf(
  datatype: Datatype,
  shape: readonly number[],
  version = 1,
  bytes: Uint8Array = new Uint8Array(byteLength(datatype, shape)).map((_, index) => index),
): { file: Buffer; bytes: Uint8Array } {
  return { file: npyFile(DESCR[datatype] ?? '', shape, bytes, version), bytes }
}

/** @param descr NumPy's name of the type: `<U4` for texts of four characters, `|O` for pickled objects. */
export function npyFile(descr: string, shape: readonly number[], bytes: Uint8Array, version = 1): Buffer {
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${dims}), }`
  const before = version === 1 ? 10 : 12
  // Header and newline fill up to a multiple of 64.
  const header = `${text.padEnd(Math.ceil((before + text.length + 1) / 64) * 64 - before - 1)}\n`
  const length = Buffer.alloc(version === 1 ? 2 : 4)
  if (version === 1) length.writeUInt16LE(header.length)
  else length.writeUInt32LE(header.length)
  const magic = Buffer.from([0x93, ...Buffer.from('NUMPY'), version, 0])
  return Buffer.concat([magic, length, Buffer.from(header, 'latin1'), bytes])
}

/** The checksum of zip. Node 20.0 has no zlib.crc32. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xff_ff_ff_ff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xed_b8_83_20 : 0)
  }
  return ~crc >>> 0
}

/** @param method written for what is not packed. */
export function npzOf(files: Record<string, Buffer>, packed: boolean, method = 0): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const [name, content] of Object.entries(files)) {
    const data = packed ? deflateRawSync(content) : content
    const label = Buffer.from(name)
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt16LE(packed ? 8 : method, 4)
    common.writeUInt32LE(crc32(content), 10)
    common.writeUInt32LE(data.length, 14)
    common.writeUInt32LE(content.length, 18)
    common.writeUInt16LE(label.length, 22)
    parts.push(Buffer.from('PK\x03\x04'), common, label, data)
    const tail = Buffer.alloc(14)
    tail.writeUInt32LE(at, 10)
    directory.push(Buffer.from('PK\x01\x02'), Buffer.of(20, 0), common, tail, label)
    at += 30 + label.length + data.length
  }
  const listing = Buffer.concat(directory)
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(Object.keys(files).length, 8)
  end.writeUInt16LE(Object.keys(files).length, 10)
  end.writeUInt32LE(listing.length, 12)
  end.writeUInt32LE(at, 16)
  return Buffer.concat([...parts, listing, end])
}

/** One file, with all its sizes and places in 64 bits. */
export function zip64Of(name: string, content: Buffer, packed: boolean): Buffer {
  const short = npzOf({ [name]: content }, packed)
  const at = short.readUInt32LE(short.length - 22 + 16)
  const entry = Buffer.from(short.subarray(at, short.length - 22))
  const longs = [entry.readUInt32LE(24), entry.readUInt32LE(20), entry.readUInt32LE(42)]
  for (const place of [24, 20, 42]) entry.writeUInt32LE(0xff_ff_ff_ff, place)
  const extra = Buffer.alloc(4 + 24)
  extra.writeUInt16LE(1, 0)
  extra.writeUInt16LE(24, 2)
  for (const [index, long] of longs.entries()) extra.writeBigUInt64LE(BigInt(long), 4 + index * 8)
  entry.writeUInt16LE(extra.length, 30)
  const listing = Buffer.concat([entry, extra])
  const record = Buffer.alloc(56)
  record.write('PK\x06\x06', 'latin1')
  record.writeBigUInt64LE(44n, 4)
  for (const place of [24, 32]) record.writeBigUInt64LE(1n, place)
  record.writeBigUInt64LE(BigInt(listing.length), 40)
  record.writeBigUInt64LE(BigInt(at), 48)
  const locator = Buffer.alloc(20)
  locator.write('PK\x06\x07', 'latin1')
  locator.writeBigUInt64LE(BigInt(at + listing.length), 8)
  locator.writeUInt32LE(1, 16)
  const end = Buffer.alloc(22, 0xff)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(0, 20)
  return Buffer.concat([short.subarray(0, at), listing, record, locator, end])
}

/** The same archive with a comment at its end. */
export function withComment(zip: Buffer): Buffer {
  const longer = Buffer.concat([zip, Buffer.from('PK\x05\x06 a comment')])
  longer.writeUInt16LE(longer.length - zip.length, zip.length - 2)
  return longer
}
