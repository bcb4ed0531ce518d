/**
 * Compares what a model gave in pieces with what it gives whole. Integers, flags and texts must be equal; of floats the
 * greatest difference is told, as a share of the greatest finite value expected, or of 1 if that is smaller.
 */
import { tensorValues } from '../../shared/tensors/tensor-values.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'

export interface Comparison {
  /** 0: every element is equal (NaN to NaN, and 0 to -0). Infinity: shapes, types, integers or texts differ. */
  apart: number
  /** What differs, unless `apart` is 0. */
  why?: string
}

const EQUAL: Comparison = { apart: 0 }
const different = (why: string): Comparison => ({ apart: Number.POSITIVE_INFINITY, why })
const FLOATS = /^(FP|BF)/

/** @param got may hold more than is expected. */
export function compareAll(
  got: ReadonlyMap<string, Tensor>,
  expected: ReadonlyMap<string, Tensor>,
): Comparison {
  return [...expected.values()]
    .map((tensor) => compare(got.get(tensor.name), tensor))
    .reduce((worst, one) => (one.apart > worst.apart ? one : worst), EQUAL)
}

function compare(got: Tensor | undefined, expected: Tensor): Comparison {
  const about = (why: string) => `${JSON.stringify(expected.name)} ${why}`
  if (got === undefined) return different(about('is missing'))
  const form = ({ datatype, shape }: Tensor) => `${datatype} [${shape.join()}]`
  if (form(got) !== form(expected)) return different(about(`is ${form(got)} instead of ${form(expected)}`))
  if (!FLOATS.test(expected.datatype)) {
    return Buffer.compare(got.bytes, expected.bytes) === 0 ? EQUAL : different(about('differs'))
  }
  const apart = floatsApart(tensorValues(got), tensorValues(expected))
  return apart === 0 ? EQUAL : { apart, why: about(`is off by ${apart.toPrecision(3)}`) }
}

function floatsApart(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  let largest = 1
  let apart = 0
  for (let i = 0; i < expected.length; i++) {
    const a = got[i] ?? Number.NaN
    const b = expected[i] ?? Number.NaN
    if (Number.isFinite(b)) largest = Math.max(largest, Math.abs(b))
    if (a === b || (Number.isNaN(a) && Number.isNaN(b))) continue
    const difference = Math.abs(a - b)
    apart = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(apart, difference)
  }
  return apart / largest
}
