/**
 * Masks: the value that hides nothing. A mask of random values may hide everything, and then the answer of an attention is
 * not a number. Which value hides is seen where the mask is used; if that is not found, the name decides.
 */
import { CODE } from '../wire/element-types.ts'
import type { NodeProto } from '../proto/onnx_pb.ts'
import type { NodeValues } from './node-values.ts'

const MASK = /mask/i
/** Added to a score, or put in its place, this hides it. */
const HIDING = -1000

const hides = (numbers: readonly number[] | undefined): boolean =>
  numbers !== undefined && numbers.length > 0 && numbers.every((value) => value <= HIDING)

/** The value of the node's argument with which nothing is hidden; undefined if the node does not use it as a mask. */
export function unmaskedAt(
  operator: string,
  node: NodeProto,
  position: number,
  values: NodeValues,
): number | undefined {
  if (operator === 'Where' && position === 0) {
    if (hides(values.numbers(node.input[1]))) return 0
    return hides(values.numbers(node.input[2])) ? 1 : undefined
  }
  if (operator === 'Mul' && hides(values.numbers(node.input[1 - position]))) return 0
  if (operator === 'Attention' && position === 3) return values.code(node.input[3]) === CODE.BOOL ? 1 : 0
  return undefined
}

/** The value that hides nothing in an input with this name; undefined if the name is not that of a mask. */
export function unmaskedByName(name: string, isAdded: boolean): number | undefined {
  if (!MASK.test(name)) return undefined
  return isAdded ? 0 : 1
}
