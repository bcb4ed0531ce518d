/** Models whose size is in the attributes of a node, as that of tree ensembles. */
import { create, toBinary } from '@bufbuild/protobuf'
import {
  AttributeProto_AttributeType as Kind,
  AttributeProtoSchema,
  ModelProtoSchema,
} from '../../shared/onnx/proto/onnx_pb.ts'
import { model, node, value } from '../onnx/support/build.ts'

/** A model with one list of `count` numbers, each with a tag of its own. No operator is run. */
export function modelWithLongList(count: number): Uint8Array {
  const attribute = create(AttributeProtoSchema, { name: 'list', type: Kind.INTS })
  const data = new Uint8Array(2 * count - 1)
  for (let at = 1; at < data.length; at += 2) data[at] = 8 * 8
  attribute.$unknown = [{ no: 8, wireType: 0, data }]
  const one = node('Relu', ['x'], ['y'])
  one.attribute.push(attribute)
  const made = model({ nodes: [one], inputs: [value('x', [1])], outputs: [value('y', undefined)] })
  return toBinary(ModelProtoSchema, made)
}

/** @returns how many threads were started while this work was done. */
export async function threadsStartedBy(work: () => Promise<unknown>): Promise<number> {
  let started = 0
  const count = () => {
    started += 1
  }
  process.on('worker', count)
  try {
    await work()
  } finally {
    process.off('worker', count)
  }
  return started
}
