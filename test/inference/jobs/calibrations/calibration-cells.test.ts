import { describe, expect, it } from 'vitest'
import {
  lowerShare,
  pairedLossBound,
  shareBounds,
  spreadOf,
  upperMean,
  upperShare,
  cellOf,
  relativeError,
  type Seen,
} from '../../../../services/inference/jobs/calibrations/calibration-cells.ts'

describe('the bounds of a share', () => {
  it('are those of the tables', () => {
    // Rule of three, exactly: 1 - 0.05^(1/n).
    expect(upperShare(0, 16)).toBeCloseTo(1 - 0.05 ** (1 / 16), 10)
    expect(lowerShare(100, 100)).toBeCloseTo(0.05 ** (1 / 100), 10)
    // Clopper and Pearson's 95 % interval for 5 of 20 and 50 of 1000.
    const five = shareBounds(5, 20)
    expect([five.low, five.high]).toEqual([expect.closeTo(0.0866, 4), expect.closeTo(0.491, 4)])
    const fifty = shareBounds(50, 1000)
    expect([fifty.low, fifty.high]).toEqual([expect.closeTo(0.0373, 4), expect.closeTo(0.0654, 4)])
    expect(shareBounds(0, 7).low).toBe(0)
    expect(shareBounds(7, 7).high).toBe(1)
  })

  it('hold what they promise: at most 5 in 100 samplings fall outside', () => {
    let state = 5
    const uniform = () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return state / 2 ** 32
    }
    for (const truth of [0.02, 0.3]) {
      let outside = 0
      for (let round = 0; round < 1000; round += 1) {
        let hits = 0
        for (let sample = 0; sample < 60; sample += 1) if (uniform() < truth) hits += 1
        if (upperShare(hits, 60) < truth) outside += 1
      }
      expect(outside).toBeLessThanOrEqual(65)
    }
  })

  it('stand for large counts too', () => {
    expect(upperShare(500, 100_000)).toBeCloseTo(0.00538, 4)
  })
})

describe('the bounds of means and losses', () => {
  it('widen with the spread and narrow with the samples', () => {
    expect(upperMean([2])).toBe(2)
    // Student: 2 + 2.92 · 1 / sqrt(3).
    expect(upperMean([1, 2, 3])).toBeCloseTo(2 + 2.92 / Math.sqrt(3), 6)
    expect(upperMean([1, 2, 3, 1, 2, 3, 1, 2, 3])).toBeLessThan(upperMean([1, 2, 3]))
    expect(spreadOf([4])).toBeUndefined()
    expect(spreadOf([4, 4])).toEqual({ low: 4, high: 4 })
  })

  it('never promise less loss than was seen', () => {
    for (const [spoilt, mended] of [
      [0, 0],
      [3, 0],
      [3, 3],
      [0, 5],
      [20, 0],
    ] as const) {
      const bound = pairedLossBound(spoilt, mended, 20)
      expect(bound).toBeGreaterThanOrEqual(Math.max(0, (spoilt - mended) / 20))
      expect(bound).toBeLessThanOrEqual(1)
    }
  })
})

describe('a cell', () => {
  const seen = (agrees: boolean, after = agrees): Seen => ({
    rawBytes: 100,
    wireBytes: 25,
    relativeError: 0.1,
    agrees,
    right: { before: true, after },
  })
  const real = { madeUp: false, lossless: false }

  it('counts every changed answer as a lost one where there are no labels', () => {
    const unlabelled = [...Array.from({ length: 9 }, () => seen(true)), seen(false)].map(
      ({ right: _right, ...one }) => one,
    )
    const cell = cellOf(3, 'q8', unlabelled, real)
    expect(cell).toMatchObject({
      boundary: 3,
      codec: 'q8',
      bytesRatio: 0.25,
      top1Agreement: 0.9,
      samples: 10,
    })
    expect(cell.lossMedian).toBeCloseTo(0.1)
    expect(cell.lossBound).toBeCloseTo(upperShare(1, 10))
    expect(cell.accuracy).toBeUndefined()
  })

  it('knows with labels that a changed answer may be as right as before', () => {
    const cell = cellOf(
      3,
      'q8',
      Array.from({ length: 10 }, () => seen(false, true)),
      real,
    )
    expect(cell).toMatchObject({ top1Agreement: 0, accuracy: 1, lossMedian: 0 })
  })

  it('says nothing of accuracy on made-up samples, and nothing is lost where the codec loses nothing', () => {
    expect(cellOf(0, 'q8', [seen(true)], { madeUp: true, lossless: false }).lossBound).toBe(1)
    expect(cellOf(0, 'zstd', [seen(true)], { madeUp: true, lossless: true }).lossBound).toBe(0)
  })

  it('takes an output that is not finite as one that is all wrong', () => {
    const before = { top: 0, values: Float64Array.of(1, 2) }
    expect(relativeError({ top: -1, values: Float64Array.of(Number.NaN, 2) }, before)).toBe(1)
    expect(relativeError(before, before)).toBe(0)
    expect(relativeError({ top: 0, values: Float64Array.of(1, 3) }, before)).toBeCloseTo(1 / Math.sqrt(5))
  })
})
