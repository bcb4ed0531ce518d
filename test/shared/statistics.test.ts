import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  lowMean,
  mean,
  median,
  medianAbsoluteDeviation,
  quantile,
  quartileDeviation,
  standardDeviation,
  sum,
  undisturbed,
} from '../../shared/platform/statistics.ts'
import { nearestRank } from '../support/nearest-rank.ts'

const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 40 })

describe('statistics', () => {
  it('take the middle value, or the mean of the two middle ones', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(median([])).toBeNaN()
  })

  it('do not change the order of what they are given', () => {
    const given = [3, 1, 2]
    median(given)
    nearestRank(given, 0.5)
    expect(given).toEqual([3, 1, 2])
  })

  it('have quantiles between the ranks, as R and NumPy have by default', () => {
    expect(quantile([1, 2, 3, 4], 0.75)).toBeCloseTo(3.25)
    expect(quantile([10, 20], 0.1)).toBeCloseTo(11)
    expect(quantile([1, 2, 3], 0)).toBe(1)
    expect(quantile([1, 2, 3], 1)).toBe(3)
  })

  it('have nearest ranks that are values', () => {
    expect(nearestRank([1, 2, 3, 4], 0.5)).toBe(2)
    expect(nearestRank([1, 2, 3, 4], 0.99)).toBe(4)
    expect(() => nearestRank([], 0.5)).toThrow(RangeError)
  })

  it('keep every quantile within the values, and in order', () => {
    fc.assert(
      fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (all, q) => {
        const [low, high] = [Math.min(...all), Math.max(...all)]
        const found = quantile(all, q)
        expect(found).toBeGreaterThanOrEqual(low - 1e-9)
        expect(found).toBeLessThanOrEqual(high + 1e-9)
        expect(all).toContain(nearestRank(all, q))
        expect(quantile(all, q / 2)).toBeLessThanOrEqual(found + 1e-9)
      }),
    )
  })

  it('measure spread', () => {
    expect(sum([1, 2, 3])).toBe(6)
    expect(mean([1, 2, 3])).toBe(2)
    expect(standardDeviation([2, 4, 4, 4, 5, 5, 7, 9])).toBeCloseTo(Math.sqrt(32 / 7))
    expect(standardDeviation([5])).toBe(0)
    expect(medianAbsoluteDeviation([1, 1, 2, 2, 4, 6, 9])).toBe(1)
    expect(quartileDeviation([1, 2, 3, 4, 5])).toBeCloseTo(2 / 1.349)
  })

  it('leave out what a busy machine has lengthened', () => {
    expect(undisturbed([10, 13, 10.2, 14, 10.4, 13])).toBe(10.2)
    expect(undisturbed([7])).toBe(7)
    const runs = Array.from({ length: 100 }, (_, index) => index)
    expect(lowMean(runs)).toBeCloseTo(17)
    expect(lowMean([...runs.slice(0, 60), ...runs.slice(60).map((ms) => ms * 100)])).toBeCloseTo(17)
  })
})
