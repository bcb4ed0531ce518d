/** Student's distribution: how far the mean of a few values may be off. */

/** By number of sides: the normal quantile of 95 %, and Student's for 1 to 5 degrees. */
const TABLE = {
  1: { z: 1.6449, exact: [6.3138, 2.92, 2.3534, 2.1318, 2.015] },
  2: { z: 1.96, exact: [12.706, 4.3027, 3.1824, 2.7764, 2.5706] },
} as const

/**
 * Standard errors of a mean that hold the true one in 95 % of cases, on one side or on both. A table, then Abramowitz and
 * Stegun 26.7.5.
 * @param freedom degrees of freedom, at least 1: the number of values less one.
 */
export function studentT(freedom: number, sides: 1 | 2): number {
  const { z, exact } = TABLE[sides]
  const known = exact[freedom - 1]
  if (known !== undefined) return known
  const first = (z ** 3 + z) / 4
  const second = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96
  const third = (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384
  return z + first / freedom + second / freedom ** 2 + third / freedom ** 3
}
