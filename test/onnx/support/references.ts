/** Reference inputs and outputs that lie beside models: TensorProto files and NumPy archives. */
import fs from 'node:fs'
import { fromBinary } from '@bufbuild/protobuf'
import { type NumpyArray, readNpz } from '../../../shared/tensors/read-numpy.ts'
import { elementTypeOf } from '../../../shared/onnx/wire/element-types.ts'
import { TensorProtoSchema } from '../../../shared/onnx/proto/onnx_pb.ts'
import { rawBytes, tensorShape } from '../../../shared/onnx/wire/tensor-data.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'

/** A `.pb` file as the ONNX model zoo has them, under the name that the model uses. */
export function readProtoTensor(file: string, name: string): Tensor {
  const proto = fromBinary(TensorProtoSchema, fs.readFileSync(file))
  const datatype = elementTypeOf(proto.dataType)?.datatype
  if (!datatype) throw new Error(`${file} holds elements of type ${proto.dataType}`)
  return { name, datatype, shape: tensorShape(proto), bytes: rawBytes(proto, '') }
}

/** The arrays of a `.npz` file in order. */
export async function readArrays(file: string): Promise<{ key: string; tensor: NumpyArray }[]> {
  const arrays = await readNpz(fs.readFileSync(file), file, LIMIT_BYTES)
  return [...arrays].map(([key, tensor]) => ({ key, tensor }))
}

const LIMIT_BYTES = 2 ** 28
