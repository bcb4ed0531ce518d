/**
 * Finds restrictions on integer inputs in a model: the values that it compares an input with (a sampling rate, a mode),
 * and the length of the table that an input indexes (a vocabulary).
 */
import type { InputHints } from '../../contracts/model.ts'
import type { CanonicalGraph } from './canonicalise.ts'
import { CODE } from '../wire/element-types.ts'
import type { GraphProto, NodeProto, TensorProto } from '../proto/onnx_pb.ts'
import { bodiesOf, onnxOperator } from './scope.ts'
import { isExternal } from '../wire/external-data.ts'
import { rawBytes } from '../wire/tensor-data.ts'

export interface FoundHints {
  /** Upper limits of indices. */
  limits: InputHints
  /** Values that an input is compared with. */
  values: Map<string, number[]>
}

/** Operators whose output has the elements of their first input, unchanged. */
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
/** A comparison with a longer list is not a choice between modes. */
const MAX_COMPARED_VALUES = 8

export function findHints({ graph, layers, types }: CanonicalGraph): FoundHints {
  const origin = new Map(
    graph.inputs.filter(({ code }) => INTEGER.has(code)).map(({ name }) => [name, name] as const),
  )
  const found: FoundHints = { limits: {}, values: new Map() }
  const constants = new Map(graph.constants)
  const visit = (node: NodeProto) => {
    const source = origin.get(node.input[0] ?? '')
    const operator = onnxOperator(node) ?? ''
    if (PASSING.has(operator) && source) for (const output of node.output) origin.set(output, source)
    if (COMPARING.has(operator)) compare(node, origin, constants, found.values)
    if (operator === 'Gather') {
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
    if (input && constant)
      values.set(input, [...new Set([...(values.get(input) ?? []), ...comparedValues(constant)])])
  }
}

function comparedValues(tensor: TensorProto): number[] {
  const View =
    tensor.dataType === CODE.INT64 ? BigInt64Array : tensor.dataType === CODE.INT32 ? Int32Array : undefined
  if (isExternal(tensor) || !View) return []
  const numbers = Array.from(new View(new Uint8Array(rawBytes(tensor, '')).buffer), Number)
  return numbers.length <= MAX_COMPARED_VALUES ? numbers : []
}
