/** What a quota of CPU time does to the intervals of stages and plans. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mostStopMs, stopsMsAt } from '../../shared/planning/problem/quota-stops.ts'
import { shape, solve, twoTiers } from './two-tiers.ts'

const often = { ms: 50, perMs: 0.01, areExpected: true }
const seldom = { ms: 50, perMs: 0.01, areExpected: false }

describe('a stage under a quota', () => {
  it('meets a whole number of stops', () => {
    // 0.85 of a stop is expected: none, or two.
    expect(stopsMsAt(often, 85, 'lower')).toBeCloseTo(-0.85 * 50)
    expect(stopsMsAt(often, 85, 'upper')).toBeCloseTo(1.15 * 50)
    // 3.4: three at least; 3.2: four at most.
    expect(stopsMsAt(often, 340, 'lower')).toBeCloseTo(-0.4 * 50)
    expect(stopsMsAt(often, 320, 'upper')).toBeCloseTo(0.8 * 50)
  })

  it('is never quicker than without stops if none is expected', () => {
    expect(stopsMsAt(seldom, 20, 'lower')).toBe(0)
    expect(stopsMsAt(seldom, 20, 'upper')).toBe(50)
    expect(stopsMsAt(seldom, 2, 'upper')).toBe(0)
    expect(stopsMsAt(seldom, 15, 'typicalUpper')).toBe(0)
    expect(stopsMsAt(seldom, 40, 'typicalUpper')).toBe(50)
    expect(stopsMsAt(seldom, 40, 'typicalLower')).toBeCloseTo(0)
  })

  it('takes longer than no stage that searches bound, and never less than without a stop', () => {
    const cases = fc.record({
      ms: fc.double({ min: 0, max: 100, noNaN: true }),
      perMs: fc.double({ min: 0, max: 1, noNaN: true }),
      areExpected: fc.boolean(),
    })
    fc.assert(
      fc.property(cases, fc.double({ min: 0, max: 1000, noNaN: true }), (stops, predictedMs) => {
        // Those whose typical request meets none are of less than half a stop.
        const some = stops.areExpected
          ? stops
          : { ...stops, perMs: Math.min(stops.perMs, 0.49 / predictedMs) }
        const expectedMs = some.areExpected ? some.ms * some.perMs * predictedMs : 0
        for (const at of ['lower', 'typicalLower'] as const) {
          expect(stopsMsAt(some, predictedMs, at)).toBeGreaterThanOrEqual(-expectedMs - 1e-6)
          expect(stopsMsAt(some, predictedMs, at)).toBeLessThanOrEqual(0)
        }
        expect(stopsMsAt(some, predictedMs, 'upper')).toBeLessThanOrEqual(mostStopMs(some) + 1e-6)
        expect(stopsMsAt(some, predictedMs, 'upper')).toBeGreaterThanOrEqual(0)
      }),
    )
  })
})

describe('a plan under quotas', () => {
  const stopped = () => {
    const problem = twoTiers()
    return { ...problem, profiles: problem.profiles.map((one) => ({ ...one, host: 'one', stops: seldom })) }
  }

  it('is stopped by each quota apart, also on one computer', () => {
    const problem = stopped()
    const split = solve({
      ...problem,
      profiles: problem.profiles.map((one) => ({ ...one, stops: { ...seldom, perMs: 0.1 } })),
    }).plans.find((plan) => shape(plan) === 'device 0-1 cloud 1-3')
    expect(split?.moves.map(({ what }) => what)).toEqual([
      'one',
      'quota of device',
      'quota of cloud',
      'device>cloud',
    ])
    expect(split?.interval.highMs).toBeCloseTo(38 + Math.hypot(50, 50), 9)
    expect(split?.interval.lowMs).toBe(38)
  })

  it('has every stage at the most stops with the confidence upper', () => {
    const { plans } = solve(stopped(), { confidence: 'upper' })
    expect(plans[0]?.predictedMs).toBe(40 + 50)
  })
})
