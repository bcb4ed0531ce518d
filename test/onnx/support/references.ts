/** Reference inputs and outputs that came with the models: TensorProto files and NumPy archives. */
import fs from 'node:fs'
import path from 'node:path'
import zlib from 'node:zlib'
import { fromBinary } from '@bufbuild/protobuf'
import type { Datatype } from '../../../shared/contracts/common.ts'
import { elementTypeOf } from '../../../shared/onnx/element-types.ts'
import { TensorProtoSchema } from '../../../shared/onnx/proto/onnx_pb.ts'
import { rawBytes, tensorShape } from '../../../shared/onnx/tensor-data.ts'
import type { Tensor } from '../../../shared/tensor.ts'
import { MODELS } from './models.ts'

/** A `.pb` file as the ONNX model zoo has them, under the name that the model uses. */
export function readProtoTensor(file: string, name: string): Tensor {
  const proto = fromBinary(TensorProtoSchema, fs.readFileSync(path.join(MODELS, file)))
  const datatype = elementTypeOf(proto.dataType)?.datatype
  if (!datatype) throw new Error(`${file} holds elements of type ${proto.dataType}`)
  return { name, datatype, shape: tensorShape(proto), bytes: rawBytes(proto, '') }
}

/** The arrays of a `.npz` file (a zip of `.npy` files) in order. */
export function readArrays(file: string): { key: string; tensor: Omit<Tensor, 'name'> }[] {
  const zip = fs.readFileSync(path.join(MODELS, file))
  const arrays: { key: string; tensor: Omit<Tensor, 'name'> }[] = []
  // The central directory: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.12
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06'))
  let at = zip.readUInt32LE(end + 16)
  for (let count = zip.readUInt16LE(end + 10); count > 0; count--) {
    const method = zip.readUInt16LE(at + 10)
    const packedBytes = zip.readUInt32LE(at + 20)
    const nameBytes = zip.readUInt16LE(at + 28)
    const local = zip.readUInt32LE(at + 42)
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
    const packed = zip.subarray(start, start + packedBytes)
    const key = zip.toString('utf8', at + 46, at + 46 + nameBytes).replace(/\.npy$/, '')
    arrays.push({ key, tensor: readArray(method === 8 ? zlib.inflateRawSync(packed) : packed) })
    at += 46 + nameBytes + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32)
  }
  return arrays
}

const NUMPY: Readonly<Record<string, Datatype>> = { '<f4': 'FP32', '<f8': 'FP64', '<i8': 'INT64' }

/** https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0 */
function readArray(npy: Buffer): Omit<Tensor, 'name'> {
  const headerBytes = npy.readUInt16LE(8)
  const header = npy.toString('latin1', 10, 10 + headerBytes)
  const [, descr = ''] = /'descr': '([^']+)'/.exec(header) ?? []
  const [, dims = ''] = /'shape': \(([^)]*)\)/.exec(header) ?? []
  const datatype = NUMPY[descr]
  if (!datatype) throw new Error(`no datatype for NumPy's ${descr}`)
  return {
    datatype,
    shape: dims
      .split(',')
      .filter((dim) => dim.trim())
      .map(Number),
    bytes: npy.subarray(10 + headerBytes),
  }
}
