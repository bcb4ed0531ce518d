import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { transferMs } from '../../../services/inference/links/estimate-link.ts'
import { shownBandwidth } from '../../../services/inference/links/rates.ts'
import { ArrivalClock } from '../../../shared/platform/transfer-times.ts'
import { randomFrom } from '../../support/random.ts'

const PIECE_BYTES = 5000

/**
 * How a body that came at `mbps` is read by a reader that sleeps through the given stretches, a share of the body each: what
 * came meanwhile is read at once when it wakes.
 */
function arrivalOf(mbps: number, pieces: number, asleep: readonly (readonly [from: number, to: number])[]) {
  const clock = new ArrivalClock()
  const pieceMs = transferMs(PIECE_BYTES, mbps)
  for (let piece = 0; piece < pieces; piece += 1) {
    const came = piece * pieceMs
    const sleep = asleep.find(([from, to]) => came > from * pieces * pieceMs && came < to * pieces * pieceMs)
    clock.add(PIECE_BYTES, 1000 + (sleep ? sleep[1] * pieces * pieceMs : came))
  }
  return clock.arrival
}

describe('the rate of a body', () => {
  it.each([
    ['in time', []],
    ['late at its start', [[-1, 0.3]]],
    ['late in the middle', [[0.4, 0.6]]],
    ['late at its end', [[0.7, 1.2]]],
    [
      'late again and again',
      [
        [-1, 0.15],
        [0.3, 0.45],
        [0.55, 0.6],
        [0.85, 1.1],
      ],
    ],
  ] as const)('that was read %s is the rate at which it came', (_how, asleep) => {
    for (const mbps of [1, 19, 80]) {
      const { slope } = arrivalOf(mbps, 40, asleep)
      expect(transferMs(1, mbps) / slope).toBeGreaterThan(0.97)
      expect(transferMs(1, mbps) / slope).toBeLessThan(1.03)
    }
  })

  it('says how far pieces that were read late may have moved it: not at all where enough others were in time', () => {
    expect(arrivalOf(8, 40, []).lateMs).toBeCloseTo(0, 6)
    const clockOf = (count: number, lateMs: (piece: number) => number) => {
      const clock = new ArrivalClock()
      for (let piece = 0; piece < count; piece += 1) clock.add(PIECE_BYTES, 5 * piece + lateMs(piece))
      return clock.arrival
    }
    const everyOther = clockOf(40, (piece) => (piece % 2 === 1 ? 2 : 0))
    expect(everyOther.slope).toBeCloseTo(5 / PIECE_BYTES, 6)
    expect(everyOther.lateMs).toBeCloseTo(0, 6)
    const lastOfThree = clockOf(3, (piece) => (piece === 2 ? 8 : 0))
    expect(lastOfThree.lateMs).toBeGreaterThanOrEqual(4)
    const lastOfTwo = clockOf(2, (piece) => (piece === 1 ? 8 : 0))
    expect(lastOfTwo.lateMs).toBeCloseTo(5 + 8, 6)
  })

  it('of a very long body is that of its pieces, of which not all are kept', () => {
    const { slope, lateMs, restBytes } = arrivalOf(80, 20_000, [[0.4, 0.5]])
    expect(transferMs(1, 80) / slope).toBeCloseTo(1, 6)
    expect(lateMs).toBeCloseTo(0, 3)
    expect(restBytes).toBe(19_999 * PIECE_BYTES)
  })

  it('never is below none of its pieces: no piece is read before it came', () => {
    const delays = fc.array(fc.double({ min: 0, max: 30, noNaN: true }), { minLength: 3, maxLength: 60 })
    fc.assert(
      fc.property(delays, (late) => {
        const clock = new ArrivalClock()
        let readAt = 0
        late.forEach((ms, piece) => {
          readAt = Math.max(readAt + 0.2, piece * 4 + ms)
          clock.add(PIECE_BYTES, readAt)
        })
        const { slope, lateMs, restBytes } = clock.arrival
        expect(slope).toBeGreaterThanOrEqual(0)
        expect(lateMs).toBeGreaterThanOrEqual(0)
        expect(restBytes).toBe((late.length - 1) * PIECE_BYTES)
      }),
      { seed: 3 },
    )
  })

  it('is not told by pieces that were all read at once', () => {
    const { slope } = arrivalOf(19, 20, [[-1, 2]])
    expect(slope).toBe(0)
  })
})

describe('the bandwidth of one link, read by a busy machine', () => {
  /** Bodies of 150 kB; each reader sleeps through stretches of up to `most` of the body. */
  const busyBodies = (random: () => number, count: number, most: number) =>
    Array.from({ length: count }, () => {
      const asleep = [0, 1, 2].map(() => {
        const from = 1.2 * random() - 0.1
        return [from, from + most * random()] as const
      })
      return arrivalOf(18.88, 30, asleep)
    })

  it.each([0.1, 0.3])('is known within its interval in 90 of 100 cases (asleep for up to %d)', (most) => {
    const random = randomFrom(23)
    const runs = 300
    let held = 0
    let width = 0
    for (let run = 0; run < runs; run += 1) {
      const { value, halfWidth } = shownBandwidth(busyBodies(random, 8, most)) ?? { value: 0, halfWidth: 0 }
      if (Math.abs(value - 18.88) <= halfWidth) held += 1
      width += halfWidth / value / runs
    }
    expect(held / runs).toBeGreaterThan(0.9)
    expect(width).toBeLessThan(0.3)
  })

  it('never is what one unchanged link was shown as: 5.7 to 19.1 Mbit/s', () => {
    const random = randomFrom(29)
    const values = Array.from({ length: 100 }, () => shownBandwidth(busyBodies(random, 10, 0.3))?.value ?? 0)
    expect(Math.min(...values)).toBeGreaterThan(0.9 * 18.88)
    expect(Math.max(...values)).toBeLessThan(1.1 * 18.88)
  })

  it('is less certain the more its bodies were disturbed', () => {
    const random = randomFrom(31)
    const share = (most: number) => {
      const { value, halfWidth } = shownBandwidth(busyBodies(random, 5, most)) ?? { value: 1, halfWidth: 9 }
      return halfWidth / value
    }
    expect(share(0)).toBeLessThan(0.03)
    expect(share(0.9)).toBeGreaterThan(share(0))
  })
})
