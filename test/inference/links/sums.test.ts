import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type LinkFigures, transferMs } from '../../../services/inference/links/estimate-link.ts'
import { NO_COST } from '../../../services/inference/links/own-cost.ts'
import { LinkParts } from '../../../services/inference/links/sums.ts'
import { Traffic } from '../../../services/inference/links/traffic.ts'
import { randomFrom } from '../../support/random.ts'

const RTT_MS = 20
const UP = 19
const DOWN = 19
const rate = (mbps: number, share: number, old = true) => ({
  value: transferMs(1, mbps),
  halfWidth: share * transferMs(1, mbps),
  old,
})
const fixed = (value: number, halfWidth: number, old = true) => ({ value, halfWidth, old })
const sumOf = (bytes: number, returnBytes: number, halfWidth = 0.1, rttMs = RTT_MS) => ({
  bytes,
  returnBytes,
  ms: { value: rttMs + transferMs(bytes, UP) + transferMs(returnBytes, DOWN), halfWidth },
})
const holds = ({ value, halfWidth }: { value: number; halfWidth: number }, truth: number) =>
  Math.abs(value - truth) <= 1.001 * halfWidth

describe('the sum that messages of one size show', () => {
  it('is kept, and shared out by what is not known', () => {
    const wrong = fc.double({ min: -0.9, max: 0.9, noNaN: true })
    fc.assert(
      fc.property(wrong, wrong, wrong, (a, b, c) => {
        const parts = new LinkParts([
          fixed(RTT_MS + 5 * a, 5),
          { ...rate(UP, 0.1), value: transferMs(1, UP) * (1 + 0.1 * b) },
          { ...rate(DOWN, 0.1), value: transferMs(1, DOWN) * (1 + 0.1 * c) },
        ])
        const sum = sumOf(150_000, 150_000, 0.01)
        parts.learn(sum)
        expect(parts.msOf(sum)).toBeCloseTo(sum.ms.value, 1)
        const { there } = parts.estimates
        // Nearer to the truth or not, no part is told to be surer than the others leave it.
        expect(there.halfWidth).toBeGreaterThan(0.01 * transferMs(1, UP))
      }),
      { seed: 5 },
    )
  })

  it('does not move a round trip that was just measured', () => {
    const parts = new LinkParts([fixed(RTT_MS, 0.1, false), rate(12, 0.6), rate(DOWN, 0.01, false)])
    parts.learn(sumOf(150_000, 150_000))
    expect(parts.estimates.fixed.value).toBeCloseTo(RTT_MS, 1)
    expect(parts.estimates.there.value / transferMs(1, UP)).toBeCloseTo(1, 1)
  })

  it('of two sizes tells the round trip and the rate apart', () => {
    const parts = new LinkParts([fixed(60, 60), rate(12, 0.9), rate(DOWN, 0.001, false)])
    for (let turn = 0; turn < 3; turn += 1) {
      parts.learn(sumOf(1000, 1000))
      parts.learn(sumOf(150_000, 1000))
    }
    expect(parts.estimates.fixed.value).toBeCloseTo(RTT_MS, 0)
    expect(parts.estimates.there.value / transferMs(1, UP)).toBeCloseTo(1, 2)
    expect(parts.estimates.fixed.halfWidth).toBeLessThan(1)
  })

  it('that cannot be true with what was known widens it, and what was measured just now stays', () => {
    const parts = new LinkParts([fixed(RTT_MS, 0.5), rate(UP, 0.01, false), rate(DOWN, 0.01, false)])
    expect(parts.contradicted).toBe(false)
    parts.learn(sumOf(150_000, 150_000, 0.5, 90))
    expect(parts.contradicted).toBe(true)
    expect(holds(parts.estimates.fixed, 90)).toBe(true)
    expect(parts.estimates.there.value / transferMs(1, UP)).toBeCloseTo(1, 1)
  })

  it('that contradicts only what was just measured makes all of it less sure', () => {
    const parts = new LinkParts([fixed(RTT_MS, 0.1, false), rate(UP, 0.01, false), rate(DOWN, 0.01, false)])
    const before = parts.estimates
    parts.learn(sumOf(150_000, 150_000, 0.1, 40))
    for (const part of ['fixed', 'there', 'back'] as const)
      expect(parts.estimates[part].halfWidth).toBeGreaterThan(before[part].halfWidth)
  })
})

/** What services have seen: messages of one size, of which the pieces were read so late that they show too low a rate. */
function observation(random: () => number, slower: number) {
  const bytes = 150_000
  const transfer = (mbps: number) => ({
    bytes,
    restBytes: bytes - 5000,
    slope: transferMs(1, mbps) * (1 + slower * random()),
    lateMs: 4 * slower,
  })
  const wireMs = RTT_MS + transferMs(bytes, UP) + transferMs(bytes, DOWN) + 15 + 0.5 * random()
  return { sent: transfer(UP), received: transfer(DOWN), wireMs, totalMs: wireMs + 0.4, workMs: 15 }
}

const probed: LinkFigures = {
  rttMs: { value: RTT_MS, halfWidth: 0.5 },
  bandwidthMbps: { value: UP, halfWidth: 0.4 },
  returnBandwidthMbps: { value: DOWN, halfWidth: 0.4 },
  perMessageMs: { value: 0.5, halfWidth: 0.2 },
  jitterMs: 1,
}

describe('traffic of one size of message', () => {
  it.each([0, 0.1, 0.4])(
    'never makes a round trip of 0, and states what it does not know (pieces read late: %d)',
    (slower) => {
      const random = randomFrom(41)
      const counts = { rtt: 0, up: 0, all: 0 }
      for (let run = 0; run < 100; run += 1) {
        const traffic = new Traffic()
        for (let message = 0; message < 20; message += 1) traffic.add(observation(random, slower), message)
        const found = traffic.figures(probed, 20, 1000, NO_COST)
        if (!found) throw new Error('no figures')
        expect(found.rttMs.value).toBeGreaterThan(0.5 * RTT_MS)
        counts.all += 1
        if (holds(found.rttMs, RTT_MS)) counts.rtt += 1
        if (holds(found.bandwidthMbps, UP)) counts.up += 1
      }
      expect(counts.rtt / counts.all).toBeGreaterThan(0.9)
      expect(counts.up / counts.all).toBeGreaterThan(0.9)
    },
  )

  it('whose pieces were read so late that they tell little leaves the bandwidth that was known to their whole times', () => {
    const random = randomFrom(59)
    const vague = (up: number, laterMs = 0) => {
      const seen = observation(random, 0)
      // Read in two parts, the second late: the rate may be anything up to several times that.
      const sent = { ...seen.sent, slope: transferMs(1, up), lateMs: transferMs(145_000, up) }
      return { ...seen, sent, wireMs: seen.wireMs + laterMs, totalMs: seen.totalMs + laterMs }
    }
    const traffic = new Traffic()
    for (let message = 0; message < 10; message += 1) traffic.add(vague(0.6 * UP), message)
    const found = traffic.figures(probed, 10, 1000, NO_COST)
    expect(traffic.showsBandwidth(10, 1000)).toBe(false)
    expect((found?.bandwidthMbps.value ?? 0) / UP).toBeCloseTo(1, 1)
    expect((found?.bandwidthMbps.halfWidth ?? 0) / UP).toBeLessThan(0.1)
    // Without anything known it is better than nothing.
    const unknown = traffic.figures(undefined, 10, 1000, NO_COST)
    expect(Math.abs((unknown?.bandwidthMbps.value ?? 0) - UP)).toBeLessThan(
      unknown?.bandwidthMbps.halfWidth ?? 0,
    )
    const hardly = { ...probed, bandwidthMbps: { value: UP, halfWidth: 0.95 * UP } }
    const half = new Traffic()
    for (let message = 0; message < 10; message += 1) {
      const seen = observation(random, 0)
      half.add({ ...seen, sent: { ...seen.sent, lateMs: 0.3 * transferMs(145_000, UP) } }, message)
    }
    expect(half.figures(hardly, 10, 1000, NO_COST)?.bandwidthMbps.halfWidth).toBeLessThan(0.5 * UP)
    // A link that became slower shows by its whole times.
    const slower = new Traffic()
    const laterMs = transferMs(150_000, 0.2 * UP) - transferMs(150_000, UP)
    for (let message = 0; message < 10; message += 1) slower.add(vague(0.2 * UP, laterMs), message)
    const changed = slower.figures(probed, 10, 1000, NO_COST)
    expect(changed?.contradicted).toBe(true)
    expect(changed?.bandwidthMbps.value).toBeLessThan(0.6 * UP)
  })

  it('without anything known states a round trip above 0 all the same', () => {
    const random = randomFrom(43)
    const traffic = new Traffic()
    for (let message = 0; message < 20; message += 1) traffic.add(observation(random, 0.4), message)
    const found = traffic.figures(undefined, 20, 1000, NO_COST)
    expect(found?.rttMs.value).toBeGreaterThan(0)
  })

  it('is as sure of an old round trip as it was, not surer with each message', () => {
    const random = randomFrom(47)
    const traffic = new Traffic()
    let known = probed
    for (let message = 0; message < 60; message += 1) {
      traffic.add(observation(random, 0), message)
      known = traffic.figures(known, message, 1000, NO_COST) ?? known
    }
    expect(known.rttMs.halfWidth).toBeGreaterThanOrEqual(probed.rttMs.halfWidth)
    expect(holds(known.rttMs, RTT_MS)).toBe(true)
  })

  it('says how much single messages vary, beside the typical one', () => {
    const random = randomFrom(53)
    const traffic = new Traffic()
    const late = Array.from({ length: 20 }, () => 30 * random())
    late.forEach((ms, at) => {
      const seen = observation(random, 0)
      traffic.add({ ...seen, totalMs: seen.totalMs + ms }, at)
    })
    const found = traffic.figures(probed, 20, 1000, NO_COST)
    if (!found) throw new Error('no figures')
    const { perMessageMs, jitterMs } = found
    const held = late.filter((ms) => Math.abs(ms + 0.4 - perMessageMs.value) <= jitterMs).length
    expect(held / late.length).toBeGreaterThanOrEqual(0.9)
    expect(jitterMs).toBeLessThan(30)
  })
})
