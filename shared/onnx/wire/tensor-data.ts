/**
 * The payload of a TensorProto: in one of its typed fields, in `raw_data`, or in a file. All are converted to the raw
 * layout: row-major, little-endian, sub-byte types packed (onnx.proto, TensorProto).
 */
import fs from 'node:fs'
import path from 'node:path'
import { create } from '@bufbuild/protobuf'
import { ScissionError } from '../../platform/errors.ts'
import { bytesOfElements, CODE, type ElementType, elementTypeOf } from './element-types.ts'
import { type ExternalFiles, isExternal, referenceOf } from './external-data.ts'
import { readUpTo } from './file-reader.ts'
import { type TensorProto, TensorProtoSchema } from '../proto/onnx_pb.ts'

function refuse(tensor: TensorProto, reason: string): ScissionError {
  return new ScissionError('invalidModel', `tensor "${tensor.name}" ${reason}`, { tensor: tensor.name })
}

/** @throws ScissionError invalidModel for types that are not in onnx.proto. */
function tensorType(tensor: TensorProto): ElementType {
  const type = elementTypeOf(tensor.dataType)
  if (!type) throw refuse(tensor, `has the unknown element type ${tensor.dataType}`)
  return type
}

/** @throws ScissionError invalidModel for negative dimensions and element counts beyond 2^53. */
export function tensorShape(tensor: TensorProto): number[] {
  const shape = tensor.dims.map(Number)
  const count = shape.reduce((product, dim) => product * dim, 1)
  if (shape.some((dim) => dim < 0) || !Number.isSafeInteger(count) || shape.some((dim) => dim > 2 ** 53))
    throw refuse(tensor, `has the impossible shape [${shape.join(',')}]`)
  return shape
}

function elementsOf(tensor: TensorProto): number {
  return tensorShape(tensor).reduce((product, dim) => product * dim, 1)
}

/** Bytes of the raw layout; for strings the bytes of their text. */
export function tensorBytes(tensor: TensorProto): number {
  const type = tensorType(tensor)
  if (type.code === CODE.STRING) return tensor.stringData.reduce((sum, text) => sum + text.length, 0)
  return bytesOfElements(type, elementsOf(tensor))
}

/** Checks that type, shape and payload agree. @throws ScissionError invalidModel naming the tensor. */
export function checkTensor(tensor: TensorProto, files: ExternalFiles): void {
  const type = tensorType(tensor)
  const needed = tensorBytes(tensor)
  if (isExternal(tensor)) {
    if (type.code === CODE.STRING) throw refuse(tensor, 'holds strings, which cannot be external data')
    files.check(tensor, needed)
    return
  }
  const shape = `its shape [${tensorShape(tensor).join(',')}] of ${type.name}`
  if (tensor.rawData.length > 0) {
    if (tensor.rawData.length === needed) return
    throw refuse(tensor, `holds ${tensor.rawData.length} bytes, ${shape} needs ${needed}`)
  }
  const held = typedField(tensor, type).length
  const expected = valuesOf(type, elementsOf(tensor))
  if (held !== expected) throw refuse(tensor, `holds ${held} values, ${shape} needs ${expected}`)
}

/** The typed field for the tensor's element type (onnx.proto, TensorProto). */
function typedField(tensor: TensorProto, { code }: ElementType): readonly unknown[] {
  switch (code) {
    case CODE.STRING:
      return tensor.stringData
    case CODE.FLOAT:
    case CODE.COMPLEX64:
      return tensor.floatData
    case CODE.DOUBLE:
    case CODE.COMPLEX128:
      return tensor.doubleData
    case CODE.INT64:
      return tensor.int64Data
    case CODE.UINT64:
    case CODE.UINT32:
      return tensor.uint64Data
    default:
      return tensor.int32Data
  }
}

/** Number of values in the typed field for `elements` elements. */
function valuesOf(type: ElementType, elements: number): number {
  if (type.code === CODE.COMPLEX64 || type.code === CODE.COMPLEX128) return 2 * elements
  const isPacked = type.bits < 8 && type.code !== CODE.STRING
  return isPacked ? bytesOfElements(type, elements) : elements
}

/** The payload in the raw layout; not for strings. @param dir the model's folder, for references. */
export function rawBytes(tensor: TensorProto, dir: string): Uint8Array {
  const type = tensorType(tensor)
  const width = Math.max(1, type.bits / 8)
  if (isExternal(tensor)) {
    const { location, offset, length = tensorBytes(tensor), encoding } = referenceOf(tensor)
    const bytes = readExtent(path.join(dir, location), offset, length)
    return encoding === 'raw' ? bytes : decodeVarints(tensor, bytes, width)
  }
  if (tensor.rawData.length > 0) return tensor.rawData
  switch (type.code) {
    case CODE.FLOAT:
    case CODE.COMPLEX64:
      return bytesOf(Float32Array.from(tensor.floatData))
    case CODE.DOUBLE:
    case CODE.COMPLEX128:
      return bytesOf(Float64Array.from(tensor.doubleData))
    case CODE.INT64:
      return bytesOf(BigInt64Array.from(tensor.int64Data))
    case CODE.UINT64:
      return bytesOf(BigUint64Array.from(tensor.uint64Data))
    case CODE.UINT32:
      return bytesOf(Uint32Array.from(tensor.uint64Data, Number))
    default:
      return narrow(tensor.int32Data, width)
  }
}

/** A tensor whose payload is `raw_data` in memory. */
export function rawTensor(
  name: string,
  code: number,
  shape: readonly number[],
  raw: Uint8Array,
): TensorProto {
  return create(TensorProtoSchema, { name, dataType: code, dims: shape.map(BigInt), rawData: raw })
}

/** The same tensor with its payload inline. */
export function inlined(tensor: TensorProto, dir: string): TensorProto {
  if (!isExternal(tensor)) return tensor
  return rawTensor(tensor.name, tensor.dataType, tensorShape(tensor), rawBytes(tensor, dir))
}

/** The bytes of a typed array. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

function narrow(values: readonly number[], width: number): Uint8Array {
  if (width === 1) return Uint8Array.from(values)
  return bytesOf(width === 2 ? Uint16Array.from(values) : Int32Array.from(values))
}

function readExtent(file: string, offset: number, length: number): Uint8Array {
  const fd = fs.openSync(file, 'r')
  try {
    const bytes = readUpTo(fd, offset, length)
    if (bytes.length === length) return bytes
    throw new ScissionError('invalidModel', `"${path.basename(file)}" ends before byte ${offset + length}`)
  } finally {
    fs.closeSync(fd)
  }
}

function broken(tensor: TensorProto): never {
  throw refuse(tensor, 'holds a broken number')
}

/** Decodes packed varints to their low `width` bytes each, little-endian: negative numbers keep their two's complement. */
function decodeVarints(tensor: TensorProto, packed: Uint8Array, width: number): Uint8Array {
  const bytes = tensorBytes(tensor)
  // A value takes at least one byte: a shape that claims more is refused before memory for it is allocated.
  if (bytes > packed.length * width) throw refuse(tensor, 'holds fewer values than its shape has')
  const out = new Uint8Array(bytes)
  let at = 0
  let written = 0
  while (at < packed.length) {
    // Groups of 7 bits become bytes: `pending` holds the bits that are not written yet, at most 14.
    let pending = 0
    let bits = 0
    let byte = 0x80
    const end = written + width
    if (end > out.length) throw refuse(tensor, 'holds more values than its shape has')
    for (let i = 0; byte >= 0x80; i++) {
      byte = packed[at++] ?? broken(tensor)
      if (i >= 10) broken(tensor)
      pending |= (byte & 0x7f) << bits
      bits += 7
      if (bits >= 8) {
        if (written < end) out[written++] = pending & 0xff
        pending >>>= 8
        bits -= 8
      }
    }
    if (written < end) out[written++] = pending & 0xff
    written = end
  }
  if (written !== out.length) throw refuse(tensor, 'holds fewer values than its shape has')
  return out
}
