import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bandwidth, roundTrip, transferMs, typical } from '../../../services/inference/links/estimate-link.ts'
import { Freshness } from '../../../services/inference/links/freshness.ts'
import { measureOwnCost, NO_COST } from '../../../services/inference/links/own-cost.ts'
import { shownBandwidth } from '../../../services/inference/links/rates.ts'
import { Traffic } from '../../../services/inference/links/traffic.ts'
import {
  ArrivalClock,
  type Observation,
  readServerTiming,
  writeServerTiming,
} from '../../../shared/platform/transfer-times.ts'
import { randomFrom } from '../../support/random.ts'

const SIZES = [16_384, 65_536, 262_144]
const figures = (rttMs: number, up: number, down: number) => ({
  rttMs: { value: rttMs, halfWidth: 1 },
  bandwidthMbps: { value: up, halfWidth: 1 },
  returnBandwidthMbps: { value: down, halfWidth: 1 },
  perMessageMs: { value: 0, halfWidth: 0.1 },
  jitterMs: 0,
})

/** A long body at this rate, read in time. @param slope ms per byte. */
const arrivalAt = (slope: number) => ({ restBytes: 1e6, slope, lateMs: 0 })

describe('the bandwidth of a link', () => {
  it('is the slope of time over size, whatever every transfer costs besides', () => {
    const link = fc.record({
      mbps: fc.double({ min: 0.1, max: 10_000, noNaN: true }),
      fixedMs: fc.double({ min: 0, max: 500, noNaN: true }),
    })
    fc.assert(
      fc.property(link, ({ mbps, fixedMs }) => {
        const samples = SIZES.map((bytes) => ({ bytes, ms: fixedMs + transferMs(bytes, mbps) }))
        const { value, halfWidth } = bandwidth(samples)
        expect(value / mbps).toBeCloseTo(1, 4)
        expect(halfWidth / mbps).toBeLessThan(0.01)
      }),
      { seed: 4 },
    )
  })

  it('is not moved by one transfer in five that went wild', () => {
    const samples = SIZES.flatMap((bytes) =>
      [0, 0, 0, 0, 900].map((extra) => ({ bytes, ms: 10 + bytes / 1000 + extra })),
    )
    expect(bandwidth(samples).value).toBeCloseTo(8, 1)
  })

  it('is bounded below by the largest transfer where noise hides the slope, and says that it is a guess', () => {
    const flat = SIZES.map((bytes) => ({ bytes, ms: 1 }))
    const { value, halfWidth } = bandwidth(flat)
    expect(value).toBeCloseTo((262_144 * 8) / 1000, 3)
    expect(halfWidth).toBeCloseTo(value / 2, 3)
  })

  it('lies within its interval in about 95 of 100 cases of noisy transfers, and the interval leaves it above 0', () => {
    const random = randomFrom(11)
    const runs = 400
    let held = 0
    for (let run = 0; run < runs; run += 1) {
      const samples = SIZES.flatMap((bytes) =>
        [1, 2, 3, 4].map(() => ({ bytes, ms: 20 + transferMs(bytes, 18.88) + 8 * (random() - 0.5) })),
      )
      const { value, halfWidth } = bandwidth(samples)
      expect(halfWidth).toBeLessThan(value)
      if (Math.abs(value - 18.88) <= halfWidth) held += 1
    }
    expect(held / runs).toBeGreaterThan(0.9)
  })

  it('is the median of what single messages tell, and unknown without any', () => {
    expect(shownBandwidth([], 0)).toBeUndefined()
    expect(shownBandwidth([0.001, 0.001, 0.001, 0.02, 0.001].map(arrivalAt))?.value).toBeCloseTo(8, 6)
  })
})

describe('few samples', () => {
  it.each([3, 4, 5, 8])(
    'of %i messages hold the bandwidth within their interval in 90 of 100 cases',
    (count) => {
      const random = randomFrom(17)
      // The sum of twelve uniform numbers is close to a normal distribution.
      const normal = () => Array.from({ length: 12 }, random).reduce((sum, one) => sum + one, -6)
      const runs = 1000
      let held = 0
      for (let run = 0; run < runs; run += 1) {
        const rates = Array.from({ length: count }, () => 0.001 * (1 + 0.05 * normal()))
        const { value, halfWidth } = shownBandwidth(rates.map(arrivalAt), 3) ?? { value: 0, halfWidth: 0 }
        if (Math.abs(value - 8) <= halfWidth) held += 1
      }
      expect(held / runs).toBeGreaterThan(0.9)
      // An interval that contains everything would also pass.
      expect(held / runs).toBeLessThan(0.999)
    },
  )

  it('that agree do not make a bandwidth exact', () => {
    const { value = 0, halfWidth = 0 } = shownBandwidth([0.001, 0.001, 0.001].map(arrivalAt), 3) ?? {}
    expect(halfWidth / value).toBeGreaterThan(0.0099)
    expect(halfWidth / value).toBeLessThan(0.02)
  })
})

describe('what a message costs without a link', () => {
  it('is measured on this machine, with how much it varies, and is taken off with as much doubt', async () => {
    const own = await measureOwnCost()
    expect(own.message.ms).toBeGreaterThan(0)
    expect(own.message.spreadMs).toBeGreaterThan(0)
    expect(own.pingMs).toBeGreaterThan(0)
    const traffic = new Traffic()
    for (let count = 0; count < 6; count += 1) traffic.add(message(10, 8, 8), 0)
    const found = traffic.figures(undefined, 0, 1000, { message: { ms: 1, spreadMs: 0.5 }, pingMs: 0 })
    expect(found?.rttMs.value).toBeCloseTo(9, 3)
    expect(found?.rttMs.halfWidth).toBeGreaterThanOrEqual(1.5)
  })
})

describe('the fixed cost of a link', () => {
  it('is not above a low one of many round trips, with an interval that holds it', () => {
    expect(roundTrip([3]).value).toBe(3)
    expect(roundTrip([5, 5, 5, 5, 5, 5, 90, 200]).value).toBe(5)
    const { value, halfWidth } = roundTrip([10, 10.4, 10.2, 11, 12, 10.1, 14, 10.3, 10.5, 10.6])
    expect(value + halfWidth).toBeCloseTo(10, 1)
    expect(value).toBeGreaterThan(9.7)
    expect(halfWidth).toBeGreaterThan(0.05)
  })

  it('is typical for messages when half of them cost less', () => {
    expect(typical([1, 9, 2]).value).toBe(2)
  })
})

describe('the pieces of a body', () => {
  it('tell their rate, whatever the first one had with it', () => {
    const clock = new ArrivalClock()
    for (let piece = 0; piece < 20; piece += 1) clock.add(5000, 100 + piece * 2)
    expect(clock.arrival.restBytes).toBe(95_000)
    expect(clock.arrival.slope).toBeCloseTo(2 / 5000, 9)
  })

  it('that came all at once tell nothing', () => {
    const clock = new ArrivalClock()
    clock.add(100, 5)
    expect(clock.arrival).toEqual({ restBytes: 0, slope: 0, lateMs: 0 })
    expect(new ArrivalClock().arrival).toEqual({ restBytes: 0, slope: 0, lateMs: 0 })
  })

  it('are told to the sender in a header that comes back as it went', () => {
    const arrival = { restBytes: 140_000, slope: 0.000_423_7, lateMs: 0.25 }
    expect(readServerTiming(writeServerTiming(12.34, arrival))).toEqual({ workMs: 12.34, ...arrival })
    for (const strange of [
      undefined,
      '',
      'work;dur=1',
      'cache;desc="x"',
      'work;dur=1, body;bytes=1;slope=2',
      'work;dur=-1, body;bytes=1;slope=2;late=0',
    ])
      expect(readServerTiming(strange)).toBeUndefined()
  })
})

/** A message that crossed a link with these figures and was `jitterMs` late. */
function message(rttMs: number, up: number, down: number, bytes = 100_000, jitterMs = 0): Observation {
  const transfer = (mbps: number) => ({
    bytes,
    restBytes: bytes - 5000,
    slope: transferMs(1, mbps),
    lateMs: 0,
  })
  const wireMs = rttMs + transferMs(bytes, up) + transferMs(bytes, down) + 7 + jitterMs
  return { sent: transfer(up), received: transfer(down), wireMs, totalMs: wireMs + 0.5, workMs: 7 }
}

/** Pings over a link with these figures. @param lateMs how much later than that each answer was read. */
const pings = (rttMs: number, up: number, down: number, lateMs: readonly number[] = [0, 0, 0, 0, 0]) =>
  lateMs.map((late) => {
    const bytes = { sentBytes: 90, receivedBytes: 25 }
    return {
      ...bytes,
      ms: rttMs + transferMs(bytes.sentBytes, up) + transferMs(bytes.receivedBytes, down) + late,
    }
  })

describe('traffic', () => {
  it('of one size tells round trip, both bandwidths and the cost of a message', () => {
    const link = fc.record({
      rttMs: fc.double({ min: 1, max: 200, noNaN: true }),
      up: fc.double({ min: 0.5, max: 50, noNaN: true }),
      down: fc.double({ min: 0.5, max: 50, noNaN: true }),
    })
    fc.assert(
      fc.property(link, ({ rttMs, up, down }) => {
        const traffic = new Traffic()
        for (let count = 0; count < 10; count += 1)
          traffic.add(message(rttMs, up, down, 100_000, count === 7 ? 800 : 0), count)
        const found = traffic.figures(undefined, 10, 1000, NO_COST)
        expect(found?.rttMs.value).toBeCloseTo(rttMs, 3)
        expect((found?.bandwidthMbps.value ?? 0) / up).toBeCloseTo(1, 3)
        expect((found?.returnBandwidthMbps.value ?? 0) / down).toBeCloseTo(1, 3)
        expect(found?.perMessageMs.value).toBeCloseTo(0.5, 3)
      }),
      { seed: 7 },
    )
  })

  it('too little, too old or too small for a bandwidth tells nothing of its own', () => {
    const traffic = new Traffic()
    for (let count = 0; count < 4; count += 1) traffic.add(message(10, 8, 8), 0)
    expect(traffic.figures(undefined, 0, 1000, NO_COST)).toBeUndefined()
    traffic.add(message(10, 8, 8), 0)
    expect(traffic.figures(undefined, 0, 1000, NO_COST)).toBeDefined()
    expect(traffic.figures(undefined, 2000, 1000, NO_COST)).toBeUndefined()
    const small = new Traffic()
    for (let count = 0; count < 6; count += 1) small.add(message(10, 8, 8, 6000), 0)
    expect(small.figures(undefined, 0, 1000, NO_COST)).toBeUndefined()
    // What was known cannot be true, and messages of one size do not tell which part of it.
    const unsure = small.figures(figures(1, 8, 8), 0, 1000, NO_COST)
    expect(unsure?.contradicted).toBe(true)
    expect(Math.abs((unsure?.rttMs.value ?? 0) - 10)).toBeLessThan(unsure?.rttMs.halfWidth ?? 0)
    // One series may be late as a whole, two tell.
    small.addPings(pings(10, 8, 8), 1)
    expect(small.figures(figures(1, 8, 8), 1, 1000, NO_COST)?.contradicted).toBe(true)
    small.addPings(pings(10, 8, 8), 2)
    const sure = small.figures(figures(1, 8, 8), 2, 1000, NO_COST)
    expect(sure?.contradicted).toBe(false)
    expect(sure?.rttMs.value).toBeCloseTo(10, 3)
  })
})

describe('the freshness of a link', () => {
  it('is kept by traffic: only what nothing passed for an interval is stale', () => {
    const fresh = new Freshness(60_000)
    expect(fresh.isStale('edge', 0)).toBe(true)
    fresh.probed('edge', figures(10, 8, 8), 20, NO_COST, 0)
    expect(fresh.isStale('edge', 30_000)).toBe(false)
    fresh.observe('edge', message(10, 8, 8), 55_000)
    expect(fresh.isStale('edge', 70_000)).toBe(false)
    expect(fresh.isStale('edge', 116_000)).toBe(true)
  })

  it('of whose messages none shows the bandwidth runs out all the same, later', () => {
    const stale = (bytes: number) => {
      const fresh = new Freshness(60_000)
      fresh.probed('edge', figures(10, 8, 8), 20, NO_COST, 0)
      for (let at = 5000; at <= 650_000; at += 5000) fresh.observe('edge', message(10, 8, 8, bytes), at)
      return [fresh.isStale('edge', 590_000), fresh.isStale('edge', 651_000)]
    }
    expect(stale(6000)).toEqual([false, true])
    expect(stale(100_000)).toEqual([false, false])
  })

  it('publishes when a figure moved, not when nothing did, and says what it rests on', () => {
    const fresh = new Freshness(60_000)
    fresh.probed('edge', figures(10, 8, 8), 20, NO_COST, 0)
    const published: unknown[] = []
    for (let count = 1; count <= 20; count += 1)
      published.push(
        fresh.observe('edge', { ...message(10, 8, 8), totalMs: message(10, 8, 8).wireMs }, count * 100),
      )
    expect(published.filter(Boolean)).toEqual([])
    const moved = Array.from({ length: 40 }, (_, count) =>
      fresh.observe('edge', message(30, 4, 8), 3000 + count * 100),
    ).findLast(Boolean)
    expect(moved?.figures.rttMs.value).toBeCloseTo(30, 0)
    expect(moved?.figures.bandwidthMbps.value).toBeCloseTo(4, 1)
    expect(moved?.basis.probes).toBe(20)
    expect(moved?.basis.traffic).toBeGreaterThanOrEqual(5)
  })

  it('asks for a few pings per interval while messages pass, and at once if they say that the link changed', () => {
    const fresh = new Freshness(60_000)
    fresh.probed('edge', figures(10, 8, 8), 20, NO_COST, 0)
    const asked = (from: number, to: number, rttMs: number) => {
      const times: number[] = []
      for (let at = from; at <= to; at += 500) {
        fresh.observe('edge', message(rttMs, 8, 8), at)
        if (!fresh.wantsPings('edge', at)) continue
        times.push(at)
        fresh.pinged('edge', pings(rttMs, 8, 8), at)
      }
      return times
    }
    expect(asked(500, 60_000, 10)).toEqual([15_000, 30_000, 45_000, 60_000])
    const [first = 0] = asked(60_500, 75_000, 60)
    expect(first).toBeLessThan(70_000)
  })

  it('follows a round trip that changed by the pings, whatever the size of the messages', () => {
    const fresh = new Freshness(60_000)
    fresh.probed('edge', figures(10, 8, 8), 20, NO_COST, 0)
    let known: { rttMs: number; up: number } | undefined
    for (let at = 500; at <= 40_000; at += 500) {
      const rttMs = at < 20_000 ? 10 : 60
      const seen = fresh.observe('edge', message(rttMs, 8, 8), at)
      if (fresh.wantsPings('edge', at)) fresh.pinged('edge', pings(rttMs, 8, 8), at)
      if (seen) known = { rttMs: seen.figures.rttMs.value, up: seen.figures.bandwidthMbps.value }
    }
    expect(known?.rttMs).toBeGreaterThan(57)
    expect(known?.rttMs).toBeLessThan(63)
    expect(known?.up).toBeGreaterThan(7.5)
    expect(known?.up).toBeLessThan(8.5)
  })
})
