/** Values that a model knows: categories of its encoders, texts and numbers that it compares an input with. */
import { CODE } from '../wire/element-types.ts'
import type { NodeProto } from '../proto/onnx_pb.ts'
import type { Demand } from './argument-rules.ts'
import { listAttribute, type NodeValues } from './node-values.ts'
import { entryOf } from '../../platform/entry-of.ts'

/** Attributes that list the categories of an encoder; strings come first where a node has both. */
const CATEGORIES: Readonly<Record<string, readonly string[]>> = {
  'ai.onnx.ml::OneHotEncoder': ['cats_strings', 'cats_int64s'],
  'ai.onnx.ml::LabelEncoder': [
    'keys_strings',
    'keys_int64s',
    'keys_floats',
    'keys_tensor',
    'classes_strings',
  ],
  'ai.onnx.ml::CategoryMapper': ['cats_strings', 'cats_int64s'],
  TfIdfVectorizer: ['pool_strings', 'pool_int64s'],
}
const COMPARING = new Set(['Equal', 'Less', 'Greater', 'LessOrEqual', 'GreaterOrEqual'])
/** A comparison with a longer list is not a choice between modes. */
const MAX_COMPARED_VALUES = 8
/** Categories that made-up values are taken from: few are enough for a run. */
const MAX_CATEGORIES = 64

/** The categories that the node knows. @returns an empty list for any other operator. */
export function categories(operator: string, node: NodeProto, values: NodeValues): Demand[] {
  const lists = (entryOf(CATEGORIES, operator) ?? []).flatMap((name) => {
    const list = listAttribute(node, name)
    return list ? [list] : []
  })
  const isText = values.code(node.input[0]) === CODE.STRING
  const fitting = lists.filter((list) => isText === (typeof list[0] === 'string') && list.every(isSendable))
  return fitting.slice(0, 1).map((list) => ({ each: list.slice(0, MAX_CATEGORIES) }))
}

const isSendable = (value: string | number) => typeof value === 'string' || Number.isFinite(value)

/** A text that becomes a number. */
export function numerals(operator: string, node: NodeProto, values: NodeValues): Demand[] {
  const [input = '', output = ''] = [node.input[0], node.output[0]]
  const becomesNumber = values.code(input) === CODE.STRING && values.code(output) !== CODE.STRING
  return operator === 'Cast' && becomesNumber ? [{ each: ['1'] }] : []
}

/** The numbers or texts that the input at `position` is compared with, one alternative each. */
export function compared(operator: string, node: NodeProto, position: number, values: NodeValues): Demand[] {
  if (!COMPARING.has(operator)) return []
  const other = node.input[1 - position]
  const isText = values.code(other) === CODE.STRING
  const found: readonly (number | string)[] = (isText ? values.texts(other) : values.numbers(other)) ?? []
  if (found.length > MAX_COMPARED_VALUES) return []
  return found.filter(isSendable).map((value) => ({ each: [value] }))
}
