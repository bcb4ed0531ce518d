/** Models that leave dimensions open, and compute with their sizes. */
import type { ModelProto, NodeProto, TensorProto } from '../../../shared/onnx/proto/onnx_pb.ts'
import { DataType, floats, ints, model, node, value } from './build.ts'

const WIDTH = 16
const HEADS = 4
/** Rows of the table of positions: longer inputs do not run. */
export const POSITIONS = 96

/**
 * A transformer encoder of two blocks over `ids` and `mask`, both [batch, length].
 * @param sizesOf the tensor whose sizes a block reads for its Reshapes: its own input, or `ids`, whose sizes then cross
 *   every cut before the last block.
 */
export function encoder(sizesOf: 'block' | 'ids' = 'block'): ModelProto {
  const nodes: NodeProto[] = []
  const constants: TensorProto[] = [
    floats('words', [50, WIDTH]),
    floats('places', [POSITIONS, WIDTH]),
    ints('zero', [0], []),
    ints('one', [1], []),
    ints('axis0', [0]),
    ints('axis1', [1]),
    ints('axes12', [1, 2]),
    ints('heads', [HEADS]),
    ints('perHead', [WIDTH / HEADS]),
    ints('width', [WIDTH]),
    floats('hidden.far', [1], [-1000]),
    floats('full', [1], [1]),
  ]
  const add = (op: string, inputs: string[], output: string, attributes = {}) => {
    nodes.push(node(op, inputs, [output], attributes))
    return output
  }
  add('Gather', ['words', 'ids'], 'embedded')
  add('Shape', ['ids'], 'idsShape')
  add('Gather', ['idsShape', 'one'], 'count')
  add('Range', ['zero', 'count', 'one'], 'positions')
  add('Gather', ['places', 'positions'], 'placed')
  add('Cast', ['mask'], 'maskFloat', { to: DataType.FLOAT })
  add('Sub', ['full', 'maskFloat'], 'unseen')
  add('Mul', ['unseen', 'hidden.far'], 'penalty')
  add('Unsqueeze', ['penalty', 'axes12'], 'penalties')
  let x = add('Add', ['embedded', 'placed'], 'b0.in')
  for (const block of ['b0', 'b1']) x = addBlock(block, x, sizesOf === 'ids' ? 'ids' : x, add, constants)
  add('Identity', [x], 'y')
  return model({
    nodes,
    constants,
    inputs: ['ids', 'mask'].map((name) => value(name, ['batch', 'length'], DataType.INT64)),
    outputs: [value('y', ['batch', 'length', WIDTH])],
  })
}

/** `x`, [batch, length], of which each item's outputs depend on the other items. */
export const mixing = (): ModelProto =>
  model({
    nodes: [node('Softmax', ['x'], ['y'], { axis: 0 })],
    inputs: [value('x', ['batch', 'length'])],
    outputs: [value('y', ['batch', 'length'])],
  })

type Add = (
  op: string,
  inputs: string[],
  output: string,
  attributes?: Record<string, number | number[]>,
) => string

/** Self-attention and a residual connection. */
function addBlock(b: string, x: string, sized: string, add: Add, constants: TensorProto[]): string {
  add('Shape', [sized], `${b}.shape`)
  add('Gather', [`${b}.shape`, 'axis0'], `${b}.batch`)
  add('Gather', [`${b}.shape`, 'axis1'], `${b}.length`)
  add('Concat', [`${b}.batch`, `${b}.length`, 'heads', 'perHead'], `${b}.split`, { axis: 0 })
  add('Concat', [`${b}.batch`, `${b}.length`, 'width'], `${b}.joined`, { axis: 0 })
  for (const part of ['q', 'k', 'v']) {
    const at = `${b}.${part}`
    constants.push(floats(`${at}.weight`, [WIDTH, WIDTH]))
    add('MatMul', [x, `${at}.weight`], `${at}.all`)
    add('Reshape', [`${at}.all`, `${b}.split`], `${at}.heads`)
    add('Transpose', [`${at}.heads`], at, { perm: part === 'k' ? [0, 2, 3, 1] : [0, 2, 1, 3] })
  }
  add('MatMul', [`${b}.q`, `${b}.k`], `${b}.scores`)
  add('Add', [`${b}.scores`, 'penalties'], `${b}.masked`)
  add('Softmax', [`${b}.masked`], `${b}.shares`, { axis: -1 })
  add('MatMul', [`${b}.shares`, `${b}.v`], `${b}.mixed`)
  add('Transpose', [`${b}.mixed`], `${b}.back`, { perm: [0, 2, 1, 3] })
  add('Reshape', [`${b}.back`, `${b}.joined`], `${b}.flat`)
  return add('Add', [`${b}.flat`, x], `${b}.out`)
}

/** A classifier of pictures that reads its batch size for a Reshape. */
export function classifier(): ModelProto {
  return model({
    nodes: [
      node('Conv', ['x', 'kernel'], ['c'], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
      node('Relu', ['c'], ['r']),
      node('Shape', ['r'], ['shape']),
      node('Gather', ['shape', 'axis0'], ['batch']),
      node('Concat', ['batch', 'rest'], ['target'], { axis: 0 }),
      node('Reshape', ['r', 'target'], ['flat']),
      node('MatMul', ['flat', 'weights'], ['y']),
    ],
    constants: [
      floats('kernel', [4, 3, 3, 3]),
      floats('weights', [4 * 8 * 8, 10]),
      ints('axis0', [0]),
      ints('rest', [4 * 8 * 8]),
    ],
    inputs: [value('x', ['N', 3, 8, 8])],
    outputs: [value('y', ['N', 10])],
  })
}

/** Pictures of any size, in any number; the output has half the size. Two unnamed open dimensions. */
export function anySize(): ModelProto {
  return model({
    nodes: [
      node('Conv', ['x', 'kernel'], ['c'], { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [2, 2] }),
      node('Shape', ['c'], ['shape']),
      node('Relu', ['c'], ['r']),
      node('Slice', ['shape', 'two', 'four'], ['size']),
      node('Cast', ['size'], ['sizeFloat'], { to: DataType.FLOAT }),
      node('ReduceProd', ['sizeFloat'], ['area']),
      node('Div', ['r', 'area'], ['y']),
    ],
    constants: [floats('kernel', [4, 3, 3, 3]), ints('two', [2]), ints('four', [4])],
    inputs: [value('x', [1, 3, null, null])],
    outputs: [value('y', [1, 4, null, null])],
  })
}

/** Compares every token with every other: its memory grows with the square of the length. */
export function pairs(): ModelProto {
  return model({
    nodes: [
      node('Gather', ['words', 'ids'], ['x']),
      node('Transpose', ['x'], ['turned'], { perm: [0, 2, 1] }),
      node('MatMul', ['x', 'turned'], ['all']),
      node('ReduceMax', ['all'], ['y'], { axes: [2], keepdims: 0 }),
    ],
    constants: [floats('words', [50, 4])],
    inputs: [value('ids', [1, 'length'], DataType.INT64)],
    outputs: [value('y', [1, 'length'])],
  })
}

/** Bytes of INT64 values: token numbers below 50. */
export function tokens(count: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(BigInt64Array.from({ length: count }, (_, i) => BigInt((i * 7) % 50)).buffer)
}
