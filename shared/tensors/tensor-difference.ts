/**
 * How far two tensors are from each other. Takes time in proportion to their size: for large ones on a thread that may be
 * busy. Holds no copies, but of FP16 and BF16, whose elements are read as FP32.
 */
import type { Datatype } from '../contracts/common.ts'
import type { Tensor } from '../contracts/tensor.ts'
import { isLong, type LongArray, typedView } from '../oip/typed-view.ts'
import { tensorValues } from './tensor-values.ts'

export interface TensorDifference {
  /** max |a − b|. Infinity if one of them is NaN or infinite and the other is not the same; NaN equals NaN. */
  maxAbsDiff: number
  /** max |b| over its finite elements. */
  maxAbs: number
  /** ‖a − b‖ / ‖b‖ over the elements of which both are finite; Infinity if `maxAbsDiff` is, or if only ‖b‖ is 0. */
  relativeError: number
}

const FLOATS: ReadonlySet<Datatype> = new Set<Datatype>(['FP16', 'BF16', 'FP32', 'FP64'])

/** True for the types whose values may differ by rounding; all others are equal or are not. */
export const isFloat = (datatype: Datatype): boolean => FLOATS.has(datatype)

/** Why `actual` cannot be the tensor `expected`, whatever its values: another type or shape. Undefined if it can. */
export function formDifference(expected: Tensor, actual: Tensor): string | undefined {
  const describe = ({ datatype, shape }: Tensor) => `${datatype} [${shape.join(',')}]`
  const [wanted, found] = [describe(expected), describe(actual)]
  return wanted === found ? undefined : `is ${found}, not ${wanted}`
}

/**
 * The difference of two tensors of the same type and shape.
 * @param expected b, the reference. @param actual a.
 */
export function tensorDifference(expected: Tensor, actual: Tensor): TensorDifference {
  if (expected.datatype === 'BYTES') {
    const same = Buffer.compare(expected.bytes, actual.bytes) === 0
    const apart = same ? 0 : Number.POSITIVE_INFINITY
    return { maxAbsDiff: apart, maxAbs: 0, relativeError: apart }
  }
  const [longs, others] = [typedView(expected), typedView(actual)]
  if (isLong(longs) && isLong(others)) return longDifference(longs, others)
  return numberDifference(tensorValues(expected), tensorValues(actual))
}

function numberDifference(expected: ArrayLike<number>, actual: ArrayLike<number>): TensorDifference {
  let [maxAbsDiff, maxAbs, apart, size] = [0, 0, 0, 0]
  for (let i = 0; i < expected.length; i++) {
    const [b, a] = [expected[i] ?? Number.NaN, actual[i] ?? Number.NaN]
    const finite = Number.isFinite(b)
    if (finite) {
      maxAbs = Math.max(maxAbs, Math.abs(b))
      size += b * b
    }
    if (a === b || (Number.isNaN(a) && Number.isNaN(b))) continue
    const difference = Math.abs(a - b)
    if (finite && Number.isFinite(a)) {
      maxAbsDiff = Math.max(maxAbsDiff, difference)
      apart += difference * difference
    } else maxAbsDiff = Number.POSITIVE_INFINITY
  }
  return { maxAbsDiff, maxAbs, relativeError: relative(maxAbsDiff, apart, size) }
}

/** Differences are taken before they are rounded to a double. */
function longDifference(expected: LongArray, actual: LongArray): TensorDifference {
  let [maxAbsDiff, maxAbs, apart, size] = [0, 0, 0, 0]
  for (let i = 0; i < expected.length; i++) {
    const [b, a] = [expected[i] ?? 0n, actual[i] ?? 0n]
    const value = Number(b)
    maxAbs = Math.max(maxAbs, Math.abs(value))
    size += value * value
    if (a === b) continue
    const difference = Math.abs(Number(a - b))
    maxAbsDiff = Math.max(maxAbsDiff, difference)
    apart += difference * difference
  }
  return { maxAbsDiff, maxAbs, relativeError: relative(maxAbsDiff, apart, size) }
}

function relative(maxAbsDiff: number, apart: number, size: number): number {
  if (maxAbsDiff === 0) return 0
  return Number.isFinite(maxAbsDiff) && size > 0 ? Math.sqrt(apart / size) : Number.POSITIVE_INFINITY
}
