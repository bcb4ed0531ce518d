/**
 * Values that an integer input must have, as far as the model tells: what it is compared with (a sampling rate, a
 * mode), and the length of the table that it indexes (a vocabulary).
 */
import type { InputHints } from '../../contracts/model.ts'
import type { CanonicalGraph } from './canonicalise.ts'
import { CODE } from '../wire/element-types.ts'
import { type GraphProto, type NodeProto, type TensorProto } from '../proto/onnx_pb.ts'
import { bodiesOf } from './scope.ts'
import { isExternal } from '../wire/external-data.ts'
import { rawBytes } from '../wire/tensor-data.ts'

export interface FoundHints {
  /** Upper limits of indices. */
  limits: InputHints
  /** Values that an input is compared with. */
  values: Map<string, number[]>
}

/** Operators that hand on their first input's elements unchanged. */
const PASSING = new Set([
  'Identity',
  'Cast',
  'Squeeze',
  'Unsqueeze',
  'Reshape',
  'Flatten',
  'Expand',
  'Transpose',
])
const COMPARING = new Set(['Equal', 'Less', 'Greater', 'LessOrEqual', 'GreaterOrEqual'])
const INTEGER = new Set([CODE.INT32, CODE.INT64, CODE.UINT8, CODE.UINT32, CODE.UINT64])
/** A comparison with a longer list is no choice between modes. */
const FEW = 8

export function findHints({ graph, layers, types }: CanonicalGraph): FoundHints {
  const origin = new Map(
    graph.inputs.filter(({ code }) => INTEGER.has(code)).map(({ name }) => [name, name] as const),
  )
  const found: FoundHints = { limits: {}, values: new Map() }
  const constants = new Map(graph.constants)
  const visit = (node: NodeProto) => {
    const source = origin.get(node.input[0] ?? '')
    if (PASSING.has(node.opType) && source) for (const output of node.output) origin.set(output, source)
    if (COMPARING.has(node.opType)) compare(node, origin, constants, found.values)
    if (node.opType === 'Gather') {
      const index = origin.get(node.input[1] ?? '')
      const axis = Number(node.attribute.find(({ name }) => name === 'axis')?.i ?? 0n)
      const length = types.get(node.input[0] ?? '')?.shape.at(axis)
      if (index && length !== undefined && length > 0) {
        const max = Math.min(found.limits[index]?.max ?? Number.POSITIVE_INFINITY, length - 1)
        found.limits[index] = { max }
      }
    }
    for (const body of bodiesOf(node)) visitBody(body)
  }
  const visitBody = (body: GraphProto) => {
    for (const tensor of body.initializer) constants.set(tensor.name, tensor)
    for (const node of body.node) visit(node)
  }
  for (const node of layers) visit(node)
  return found
}

function compare(
  node: NodeProto,
  origin: ReadonlyMap<string, string>,
  constants: ReadonlyMap<string, TensorProto>,
  values: Map<string, number[]>,
): void {
  const [a = '', b = ''] = node.input
  for (const [left, right] of [
    [a, b],
    [b, a],
  ] as const) {
    const input = origin.get(left)
    const constant = constants.get(right)
    if (input && constant) values.set(input, [...new Set([...(values.get(input) ?? []), ...few(constant)])])
  }
}

function few(tensor: TensorProto): number[] {
  if (isExternal(tensor)) return []
  const bytes = new Uint8Array(rawBytes(tensor, ''))
  if (tensor.dataType === CODE.INT64) {
    const numbers = [...new BigInt64Array(bytes.buffer)].map(Number)
    return numbers.length <= FEW ? numbers : []
  }
  if (tensor.dataType === CODE.INT32) {
    const numbers = [...new Int32Array(bytes.buffer)]
    return numbers.length <= FEW ? numbers : []
  }
  return []
}
