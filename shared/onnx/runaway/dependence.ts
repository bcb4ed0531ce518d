/**
 * What the values of a tensor depend on: a small analysis of data flow.
 *
 *   constant   on the file alone: a trial of the file has seen what becomes of it
 *   shapes     on the shapes of the inputs too, by arithmetic that does not grow faster than products do
 *   values     on what the inputs hold
 */
import type { NodeProto } from '../proto/onnx_pb.ts'
import { RANDOM } from '../canonical/random-operators.ts'
import { onnxOperator } from '../canonical/scope.ts'

export type Dependence = 'constant' | 'shapes' | 'values'

const RANK: Readonly<Record<Dependence, number>> = { constant: 0, shapes: 1, values: 2 }

/** The strongest of them. */
export function strongest(all: Iterable<Dependence>): Dependence {
  let found: Dependence = 'constant'
  for (const one of all) if (RANK[one] > RANK[found]) found = one
  return found
}

/** What has a size as its result: every shape is bounded by those of the inputs, unless something else is reported. */
const OF_SHAPES = new Set(['Shape', 'Size', 'SequenceLength'])

/** What networks compute sizes with. Others, as Pow and Exp, could make anything of a small size. */
const ARITHMETIC = new Set(
  [
    'Add Sub Mul Div Mod Min Max Sum Neg Abs Sign Clip Sqrt Reciprocal Floor Ceil Round Cast CastLike Identity CumSum',
    'ReduceProd ReduceSum ReduceMax ReduceMin ReduceMean ArgMax ArgMin',
    'Equal Greater GreaterOrEqual Less LessOrEqual Not And Or Xor Where',
    'Concat Gather GatherND GatherElements Slice Split Squeeze Unsqueeze Reshape Flatten Transpose Expand Tile Pad TopK',
    'Range ConstantOfShape NonZero ScatterND ScatterElements',
    'SequenceConstruct SequenceAt ConcatFromSequence SplitToSequence',
  ].flatMap((line) => line.split(' ')),
)

/** What the outputs of a node without bodies, which is no function, depend on. @param inputs what its inputs do. */
export function dependenceOf(node: NodeProto, inputs: readonly Dependence[]): Dependence {
  const operator = onnxOperator(node) ?? ''
  // No trial has seen what it makes this time.
  if (RANDOM.has(operator)) return 'values'
  if (OF_SHAPES.has(operator))
    return inputs.includes('values') || inputs.includes('shapes') ? 'shapes' : 'constant'
  const given = strongest(inputs)
  return given === 'shapes' && !ARITHMETIC.has(operator) ? 'values' : given
}
