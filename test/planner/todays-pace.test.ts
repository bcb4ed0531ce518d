import { describe, expect, it } from 'vitest'
import { atTodaysPace, Pacing, paceText } from '../../services/planner/queries/todays-pace.ts'
import { REFERENCE_NETWORK } from '../../shared/contracts/pace-network.ts'
import { examplePace, exampleSpread } from '../support/example-pace.ts'
import { exampleProfile, exampleResource } from '../support/fixtures.ts'

const resource = exampleResource('edge')
const profile = {
  ...exampleProfile('edge', [1, 2, 3]),
  enterMs: [0, 0.1, 0.2, 0],
  exitMs: [0, 0.3, 0.4, 0],
  pace: { network: REFERENCE_NETWORK, threads: 1, ms: 2, error: 0.03 },
}

describe('a profile at the pace of today', () => {
  it('takes as many times longer as the reference network now takes than it took beside the profile', () => {
    const { profile: now } = atTodaysPace(profile, resource, examplePace('edge', { factor: 3 }))
    expect(now.layerMs).toEqual([1.5, 3, 4.5])
    expect(now.enterMs?.[2]).toBeCloseTo(0.3)
    expect(now.exitMs?.[1]).toBeCloseTo(0.45)
  })

  it('has an interval for one request that holds the machine and the profile, and a narrower one for the median', () => {
    const { profile: now } = atTodaysPace(profile, resource, examplePace('edge'))
    const { interval, typical } = now
    expect(interval?.relative).toBeGreaterThan(Math.hypot(0.1, 0.03))
    expect(interval?.relative).toBeLessThan(0.13)
    expect(interval?.below).toBeCloseTo(interval?.relative ?? 0)
    expect(typical?.relative).toBeLessThan(interval?.relative ?? 0)
  })

  it('may have to share cores that are all busy, until served stages show what that costs', () => {
    const two = { ...resource, machine: { ...resource.machine, cores: 2 } }
    const high = (otherCores: number, served = 0) => {
      const pace = examplePace('edge', { otherCores, samples: { idle: 60, served } })
      return atTodaysPace(profile, two, pace).profile.typical!.relative
    }
    expect(high(1)).toBe(high(0))
    expect(high(2)).toBeGreaterThan(0.5)
    expect(high(2)).toBeLessThan(0.6)
    expect(high(2, 80)).toBe(high(0))
  })

  it('may not have to wait for others at all, until served stages show that they stay', () => {
    const below = (waiting: number, served = 0) => {
      const pace = examplePace('edge', { waiting, otherCores: 1.5, samples: { idle: 60, served } })
      const { interval, typical } = atTodaysPace(profile, resource, pace).profile
      return [interval!.below!, typical!.below!]
    }
    const [one, many] = below(2)
    // Without waiting it takes half as long, and the machine's own pace moves besides.
    expect(one).toBeGreaterThan(0.54)
    expect(many).toBeGreaterThan(0.5)
    expect(many).toBeLessThan(one!)
    expect(below(2, 80)).toEqual(below(1))
  })

  it('is less sure after a check that missed', () => {
    const cuts = [{ k: 1, predictedMs: 12, measuredMs: 10 }]
    const predictionError = {
      median: 0.2,
      maximum: 0.2,
      ok: false,
      thresholds: { median: 1, maximum: 1 },
      cuts,
    }
    const unsure = atTodaysPace({ ...profile, predictionError }, resource, examplePace('edge'))
    expect(unsure.profile.interval?.relative).toBeGreaterThan(0.39)
  })

  it('stays as it was measured without a pace, or with one of another network or number of threads', () => {
    const others = [undefined, examplePace('edge', { network: 'older' }), examplePace('edge', { threads: 4 })]
    for (const pace of others) {
      const { profile: same, pace: known } = atTodaysPace(profile, resource, pace)
      expect(same.layerMs).toEqual(profile.layerMs)
      expect(same.interval).toEqual(profile.interval)
      expect(known).toBeUndefined()
    }
  })

  it('is stopped by a quota: period / quota times as long, give or take one stop', () => {
    const quota = { quotaMs: 10, periodMs: 100 }
    const { profile: now, pace } = atTodaysPace(profile, resource, examplePace('edge', { factor: 2, quota }))
    expect(now.layerMs.map((ms) => Math.round(ms))).toEqual([10, 20, 30])
    // 60 ms of a request that computes 6 of the 10: 0.6 stops.
    expect(now.stops).toMatchObject({ ms: 90, areExpected: true })
    expect(now.stops!.perMs * 60).toBeCloseTo(0.6)
    expect(pace).toMatchObject({ quotaCores: 0.1, stops: 10 })
  })

  it('is charged what a request costs beside the run, which no emulated slowness multiplies', () => {
    const callMs = { median: 1, low: 0.8, high: 3, medianLow: 0.9, medianHigh: 1.2 }
    const { profile: now, pace } = atTodaysPace(profile, resource, examplePace('edge', { callMs }))
    expect(now.callMs).toBe(1)
    expect(pace?.callMs).toBe(1)
    const without = atTodaysPace(profile, resource, examplePace('edge')).profile
    expect(without.callMs).toBe(0)
    expect(now.interval!.fixedMs).toBeGreaterThan(without.interval!.fixedMs)
    // Squares add: less than the 2 ms that a call may be late.
    expect(now.interval!.fixedMs).toBeLessThan(2)
    const slow = atTodaysPace(profile, { ...resource, slowdown: 4 }, examplePace('edge', { callMs }))
    expect(slow.profile.callMs).toBe(0.25)
  })

  it('is stopped as often as the load of now uses the quota up', () => {
    const quota = { quotaMs: 10, periodMs: 100 }
    const bring = (share: number, stopMs = 90) =>
      atTodaysPace(profile, resource, examplePace('edge', { factor: 2, quota, quotaSeen: { share, stopMs } }))
    // 6 ms of 10: at half of the stops less than half of the requests meet one, and one of fifty hardly any.
    expect(bring(0.5).profile.layerMs).toEqual([1, 2, 3])
    expect(bring(0.5).profile.stops).toEqual({ ms: 90, perMs: expect.closeTo(0.05), areExpected: false })
    expect(bring(0.03).profile.stops).toBeUndefined()
    expect(bring(0.9).profile.layerMs[0]).toBeCloseTo(9.1)
    expect(bring(0.9, 30).profile.layerMs[0]).toBeCloseTo(3.7)
    expect(bring(0.5, 30).profile.stops?.ms).toBe(30)
    expect(paceText(bring(0.5).pace!)).toContain('its quota of 0.1 cores stops some requests for 90 ms')
  })

  it('is not stopped by a quota of more cores than it uses, and less by one if it emulates a slow machine', () => {
    const wide = examplePace('edge', { factor: 2, quota: { quotaMs: 150, periodMs: 100 } })
    expect(atTodaysPace(profile, resource, wide).profile.layerMs).toEqual([1, 2, 3])
    const half = examplePace('edge', { factor: 2, quota: { quotaMs: 50, periodMs: 100 } })
    const slow = { ...resource, slowdown: 4 }
    expect(atTodaysPace(profile, slow, half).profile.layerMs).toEqual([1, 2, 3])
  })

  it('shares its computer, by the host of its address', () => {
    const { profile: now } = atTodaysPace(profile, { ...resource, url: 'http://10.0.0.7:8091' }, undefined)
    expect(now.host).toBe('10.0.0.7')
  })
})

describe('a supposed load', () => {
  const byLoad = [
    { otherCores: 0, samples: 50, requestMs: exampleSpread(2) },
    { otherCores: 1, samples: 20, requestMs: exampleSpread(5) },
  ]
  const paces = new Map([['edge', examplePace('edge', { factor: 2, byLoad })]])

  it('has the times that were measured under it', () => {
    const pacing = new Pacing(paces, { edge: 1 })
    expect(pacing.bring(profile, resource).profile.layerMs).toEqual([2.5, 5, 7.5])
    expect(pacing.notes).toEqual([
      expect.stringMatching(/^what-if: edge with 1 other cores busy, as measured/),
    ])
  })

  it('is estimated where it was not met, and says so', () => {
    const four = { ...resource, machine: { ...resource.machine, cores: 2 } }
    const pacing = new Pacing(paces, { edge: 3 })
    expect(pacing.bring(profile, four).profile.layerMs).toEqual([2, 4, 6])
    expect(pacing.notes).toEqual([expect.stringMatching(/not measured there.* 2 times/)])
  })

  it('is refused aloud without a pace', () => {
    const pacing = new Pacing(new Map(), { edge: 1 })
    expect(pacing.bring(profile, resource).profile.layerMs).toEqual([1, 2, 3])
    expect(pacing.notes).toEqual([expect.stringMatching(/load of edge was not applied/)])
  })
})

it('is told in a sentence: how it moves, how it has changed, what others and quotas cost', () => {
  const quota = { quotaMs: 25, periodMs: 100 }
  const pace = examplePace('edge', { factor: 3, waiting: 1.5, otherCores: 1.2, quota })
  expect(paceText(atTodaysPace(profile, resource, pace).pace!)).toBe(
    'edge: its own pace moves by −10 % to +10 %; it is 50 % slower than when it was profiled; ' +
      'other work, on 1.2 cores, lengthens times by 50 %; its quota of 0.25 cores lengthens times 4-fold ' +
      '(60 samples in 60 s)',
  )
})
