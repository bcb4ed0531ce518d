import { describe, expect, it } from 'vitest'
import { CallTimes } from '../../../services/inference/pace/call-times.ts'

describe('what a request costs beside the run of its stage', () => {
  it('is not known at first, then about what a message of the service to itself takes, then what requests took', () => {
    const calls = new CallTimes()
    expect(calls.spread(0)).toBeUndefined()
    expect(calls.usualMs).toBeUndefined()
    calls.own(0.5)
    expect(calls.usualMs).toBe(0.5)
    expect(calls.spread(0)).toMatchObject({ median: 0.5, low: 0.25, high: 1 })
    for (let at = 0; at < 4; at += 1) calls.served(2, at)
    expect(calls.spread(4)?.median).toBe(0.5)
    for (let at = 4; at < 60; at += 1) calls.served(at % 2 === 0 ? 1.9 : 2.1, 1000 * at)
    const spread = calls.spread(60_000)
    expect(spread?.median).toBeCloseTo(2, 0)
    for (let at = 0; at < 25; at += 1) calls.served(5, 61_000 + at)
    expect(calls.usualMs).toBe(5)
    expect(spread?.low).toBeLessThan(1.9)
    expect(spread?.high).toBeGreaterThan(2.1)
  })

  it('is that of the last minutes, or of the last requests there were', () => {
    const calls = new CallTimes()
    for (let at = 0; at < 20; at += 1) calls.served(8, at)
    expect(calls.spread(3_600_000)?.median).toBe(8)
    for (let at = 0; at < 20; at += 1) calls.served(2, 3_600_000 + at)
    expect(calls.spread(3_600_100)?.median).toBe(2)
  })

  it('leaves out what no clock can show', () => {
    const calls = new CallTimes()
    for (const ms of [0, -1, Number.NaN]) for (let at = 0; at < 9; at += 1) calls.served(ms, at)
    calls.own(0)
    expect(calls.spread(10)).toBeUndefined()
  })
})
