/**
 * A simulated reader on a machine with more to do than cores: woken by a piece, it waits for a core, and then reads all that came
 * meanwhile. All bodies are disturbed alike, so how far their rates lie apart does not show how far off they are.
 */
import { describe, expect, it } from 'vitest'
import {
  bandwidth,
  latenessOf,
  roundTrip,
  transferMs,
} from '../../../services/inference/links/estimate-link.ts'
import { shownBandwidth } from '../../../services/inference/links/rates.ts'
import { median } from '../../../shared/platform/statistics.ts'
import { type Arrival, ArrivalClock } from '../../../shared/platform/transfer-times.ts'
import { randomFrom } from '../../support/random.ts'

const MBPS = 5.85
const PIECE_BYTES = 1460

/** @param waitMs draws how long the reader waits for a core each time a piece wakes it. */
function bodyOf(bytes: number, waitMs: (piece: number) => number): Arrival {
  const clock = new ArrivalClock()
  const count = Math.ceil(bytes / PIECE_BYTES)
  const pieceMs = transferMs(PIECE_BYTES, MBPS)
  for (let next = 0; next < count; ) {
    const readAt = next * pieceMs + waitMs(next)
    const came = Math.min(count, Math.floor(readAt / pieceMs + 1e-9) + 1)
    clock.add((came - next) * PIECE_BYTES, 1000 + readAt)
    next = came
  }
  return clock.arrival
}

/** Estimates of one link from so many bodies each. */
function estimates(bodies: () => readonly Arrival[]) {
  const found = Array.from({ length: 200 }, () => shownBandwidth(bodies(), 3)).filter(
    (one) => one !== undefined,
  )
  const held = found.filter(({ value, halfWidth }) => Math.abs(value - MBPS) <= halfWidth).length
  const width = found.reduce((total, { value, halfWidth }) => total + halfWidth / value, 0) / found.length
  return { count: found.length, held: held / found.length, width }
}

const times = (count: number, body: () => Arrival) => () => Array.from({ length: count }, body)

describe('bodies that a busy machine read late, all alike', () => {
  it.each([
    ['the whole rest at once', 5, 35],
    ['a few pieces at a time', 3, 20],
    ['most pieces in time', 0, 4],
  ])('hold the bandwidth within their interval: %s', (_how, least, most) => {
    const random = randomFrom(61)
    const wait = () => least + (most - least) * random()
    const { count, held } = estimates(times(8, () => bodyOf(24_576, wait)))
    expect(count).toBeGreaterThan(100)
    expect(held).toBeGreaterThan(0.95)
  })

  it('say so also where no rate differs from another', () => {
    // Each is read in two parts, the second 20 ms after its last byte.
    const late = bodyOf(24_576, (piece) => (piece === 0 ? 0 : 52))
    const { value, halfWidth } = shownBandwidth([late, late, late, late, late]) ?? { value: 0, halfWidth: 0 }
    expect(value).toBeLessThan(0.8 * MBPS)
    expect(value + halfWidth).toBeGreaterThan(MBPS)
  })

  it('show the bandwidth by the pieces that were read in time', () => {
    const random = randomFrom(67)
    const late = () => bodyOf(98_304, (piece) => (piece < 40 ? 0.3 * random() : 30 + 20 * random()))
    const { held, width } = estimates(times(5, late))
    expect(held).toBeGreaterThan(0.95)
    expect(width).toBeLessThan(0.03)
  })

  it('are not taken for disturbed where they were not', () => {
    const random = randomFrom(71)
    const { held, width } = estimates(times(5, () => bodyOf(98_304, () => 0.3 * random())))
    expect(held).toBeGreaterThan(0.95)
    expect(width).toBeLessThan(0.015)
  })
})

describe('transfers of which only the whole time is known', () => {
  const SIZES = [12_288, 24_576]

  /** A machine that gets busy on the way: the larger transfers, which came later, are all late. */
  function busier(random: () => number, lateMs: number) {
    const some = () => lateMs * (0.8 + 0.4 * random())
    const samples = SIZES.flatMap((bytes, at) =>
      [0, 0, 0].map(() => ({ bytes, ms: 50 + transferMs(bytes, MBPS) + at * some() })),
    )
    const pings = Array.from({ length: 24 }, (_, at) => 50 + (at < 12 ? 0.2 * random() : some()))
    return { samples, late: latenessOf(pings) }
  }

  it.each([2, 6])(
    'hold the bandwidth where all large ones were %d ms late, as pings beside them tell',
    (lateMs) => {
      const random = randomFrom(73)
      let held = 0
      for (let run = 0; run < 200; run += 1) {
        const { samples, late } = busier(random, lateMs)
        const { value, halfWidth } = bandwidth(samples, late)
        if (Math.abs(value - MBPS) <= halfWidth) held += 1
      }
      expect(held / 200).toBeGreaterThan(0.95)
    },
  )

  it('are as sure as their scatter where no ping was late', () => {
    const samples = SIZES.map((bytes) => ({ bytes, ms: 50 + transferMs(bytes, MBPS) }))
    const { value, halfWidth } = bandwidth(samples, 0)
    expect(halfWidth / value).toBeLessThan(0.01)
  })
})

describe('pings that were all late', () => {
  const RTT_MS = 15
  /** Several processes on the way wait for a core, each for 1 ms on average. */
  const lateBy = (random: () => number, waits: number) =>
    Array.from({ length: waits }, () => -Math.log(1 - random())).reduce((total, ms) => total + ms, 0)

  it.each([
    [1, 12],
    [2, 12],
    [2, 24],
  ])(
    'by %i waits each hold the round trip, which is not longer than the shortest but one of %i',
    (waits, count) => {
      const random = randomFrom(79)
      const errors: number[] = []
      let held = 0
      for (let run = 0; run < 300; run += 1) {
        const pings = Array.from({ length: count }, () => RTT_MS + lateBy(random, waits))
        const { value, halfWidth } = roundTrip(pings)
        if (Math.abs(value - RTT_MS) <= halfWidth) held += 1
        expect(value + halfWidth).toBeLessThan((pings.toSorted((a, b) => a - b)[1] ?? 0) + 0.051)
        errors.push(value - RTT_MS)
      }
      expect(held / 300).toBeGreaterThan(0.9)
      expect(Math.abs(median(errors))).toBeLessThan(0.5)
    },
  )
})
