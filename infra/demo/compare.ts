/** Compares two sets of outputs. */
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { tensorValues } from './tensor-values.ts'

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
  if (expected.datatype !== actual.datatype || expected.shape.join() !== actual.shape.join()) {
    const describe = (tensor: Tensor) => `${tensor.datatype} [${tensor.shape.join(',')}]`
    throw new ScissionError(
      'internal',
      `output ${expected.name} is ${describe(actual)}, expected ${describe(expected)}`,
    )
  }
  if (expected.datatype === 'BYTES') {
    const same = Buffer.compare(expected.bytes, actual.bytes) === 0
    return { maxAbsDiff: same ? 0 : Number.POSITIVE_INFINITY, maxAbsOutput: 0, agree: same }
  }
  const [a, b] = [tensorValues(expected), tensorValues(actual)]
  let maxAbsDiff = 0
  let maxAbsOutput = 0
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] ?? 0, b[i] ?? 0]
    if (Object.is(x, y) || x === y) {
      if (Number.isFinite(x)) maxAbsOutput = Math.max(maxAbsOutput, Math.abs(x))
      continue
    }
    const difference = Math.abs(x - y)
    maxAbsDiff = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(maxAbsDiff, difference)
    maxAbsOutput = Math.max(maxAbsOutput, Math.abs(x))
  }
  const tolerance = expected.datatype === 'FP16' || expected.datatype === 'BF16' ? HALF_TOLERANCE : TOLERANCE
  return { maxAbsDiff, maxAbsOutput, agree: maxAbsDiff <= tolerance * maxAbsOutput }
}
