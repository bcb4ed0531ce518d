/** Compares two sets of outputs. */
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { formDifference, tensorDifference } from '../../shared/tensors/tensor-difference.ts'

export interface Difference {
  /** max |a − b| over all elements of all outputs. */
  maxAbsDiff: number
  /** max |a|, the scale of `maxAbsDiff`. */
  maxAbsOutput: number
  /** maxAbsDiff ≤ tolerance × maxAbsOutput, for each output on its own, NaN matching NaN. */
  agree: boolean
}

/** Relative to the largest output, as the documentation promises for single precision. */
const TOLERANCE = 1e-5
/** For FP16, which has 11 significant bits. */
const HALF_TOLERANCE = 1e-3

/** @throws ScissionError internal if names, types or shapes differ, because then numbers cannot be compared. */
export function compareOutputs(expected: readonly Tensor[], actual: readonly Tensor[]): Difference {
  const byName = new Map(actual.map((tensor) => [tensor.name, tensor]))
  const parts = expected.map((tensor) => {
    const other = byName.get(tensor.name)
    if (!other)
      throw new ScissionError('internal', `output ${tensor.name} is missing from the split model's answer`)
    return compareTensors(tensor, other)
  })
  return {
    maxAbsDiff: Math.max(0, ...parts.map((part) => part.maxAbsDiff)),
    maxAbsOutput: Math.max(0, ...parts.map((part) => part.maxAbsOutput)),
    agree: parts.every((part) => part.agree),
  }
}

function compareTensors(expected: Tensor, actual: Tensor): Difference {
  const other = formDifference(expected, actual)
  if (other !== undefined) throw new ScissionError('internal', `output ${expected.name} ${other}`)
  const { maxAbsDiff, maxAbs } = tensorDifference(expected, actual)
  const tolerance = expected.datatype === 'FP16' || expected.datatype === 'BF16' ? HALF_TOLERANCE : TOLERANCE
  return { maxAbsDiff, maxAbsOutput: maxAbs, agree: maxAbsDiff <= tolerance * maxAbs }
}
