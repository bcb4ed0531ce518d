import { describe, expect, it } from 'vitest'
import { studentT } from '../../shared/platform/student.ts'

describe("Student's quantile", () => {
  it.each([
    [1, 1, 6.314],
    [5, 1, 2.015],
    [6, 1, 1.943],
    [30, 1, 1.697],
    [1, 2, 12.706],
    [5, 2, 2.571],
    [6, 2, 2.447],
    [10, 2, 2.228],
    [30, 2, 2.042],
  ] as const)('of %i degrees on %i sides is %d', (freedom, sides, quantile) => {
    expect(studentT(freedom, sides) / quantile).toBeCloseTo(1, 2)
  })

  it('comes down to that of the normal distribution', () => {
    expect(studentT(1e6, 1)).toBeCloseTo(1.645, 3)
    expect(studentT(1e6, 2)).toBeCloseTo(1.96, 3)
  })
})
