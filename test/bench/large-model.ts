/** A chain of large matrix products whose weights lie in one external file: past the 2 GB that protobuf can hold. */
import { open, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { create, toBinary } from '@bufbuild/protobuf'
import {
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  TensorProtoSchema,
  TensorProto_DataLocation,
  TensorShapeProto_DimensionSchema,
  ValueInfoProtoSchema,
} from '../../shared/onnx/proto/onnx_pb.ts'

/** Rows and columns of each weight: 1 GiB of single precision. */
export const WIDTH = 16_384
const WEIGHT_BYTES = WIDTH * WIDTH * 4
const FLOAT = 1

const dim = (size: number) =>
  create(TensorShapeProto_DimensionSchema, { value: { case: 'dimValue', value: BigInt(size) } })
const value = (name: string) =>
  create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'tensorType', value: { elemType: FLOAT, shape: { dim: [dim(1), dim(WIDTH)] } } } },
  })

/** Layer i multiplies by i + 2: a diagonal in a file that is otherwise a hole. @returns bytes of the data file. */
export async function writeLargeModel(folder: string, layers: number): Promise<number> {
  const entry = (key: string, text: string) => create(StringStringEntryProtoSchema, { key, value: text })
  const names = Array.from({ length: layers + 1 }, (_, index) =>
    index === 0 ? 'x' : index === layers ? 'y' : `t${index}`,
  )
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: 17n })],
    graph: {
      name: 'large',
      input: [value('x')],
      output: [value('y')],
      node: names.slice(1).map((output, index) =>
        create(NodeProtoSchema, {
          name: `product${index}`,
          opType: 'MatMul',
          input: [names[index] ?? '', `w${index}`],
          output: [output],
        }),
      ),
      initializer: names.slice(1).map((_, index) =>
        create(TensorProtoSchema, {
          name: `w${index}`,
          dataType: FLOAT,
          dims: [BigInt(WIDTH), BigInt(WIDTH)],
          dataLocation: TensorProto_DataLocation.EXTERNAL,
          externalData: [
            entry('location', 'weights.bin'),
            entry('offset', String(index * WEIGHT_BYTES)),
            entry('length', String(WEIGHT_BYTES)),
          ],
        }),
      ),
    },
  })
  await writeFile(path.join(folder, 'large.onnx'), toBinary(ModelProtoSchema, model))
  const data = await open(path.join(folder, 'weights.bin'), 'w')
  try {
    await data.truncate(layers * WEIGHT_BYTES)
    for (let layer = 0; layer < layers; layer++) {
      const factor = new Float32Array([layer + 2])
      for (let row = 0; row < WIDTH; row++) {
        await data.write(new Uint8Array(factor.buffer), 0, 4, layer * WEIGHT_BYTES + row * (WIDTH + 1) * 4)
      }
    }
  } finally {
    await data.close()
  }
  return layers * WEIGHT_BYTES
}
