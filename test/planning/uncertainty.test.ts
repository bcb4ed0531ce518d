/** Plans whose numbers are uncertain, and searches that end before all plans were seen. */
import { describe, expect, it } from 'vitest'
import { optimise, type Problem } from '../../shared/planning/index.ts'
import { FREE, problemOf } from './problems.ts'
import { shape, solve, twoTiers } from './two-tiers.ts'

describe('uncertainty', () => {
  const interval = { confidence: 0.95, relative: 0.5, fixedMs: 1 }

  function uncertain(relative = 0.5): Problem {
    const problem = twoTiers()
    return {
      ...problem,
      profiles: problem.profiles.map((one) => ({ ...one, interval: { ...interval, relative } })),
      links: problem.links.map((one) => ({
        ...one,
        uncertainty: { rttMs: 1, bandwidthMbps: 0.5, returnBandwidthMbps: 0.5 },
      })),
    }
  }

  it('adds what each machine and link moves as squares', () => {
    const split = solve(uncertain()).plans.find((plan) => shape(plan) === 'device 0-1 cloud 1-3')
    expect(split?.predictedMs).toBe(38)
    // Stages of 1 and 3 ms, 2 ms and 32 ms on the wire.
    expect(split?.interval.lowMs).toBeCloseTo(38 - Math.hypot(1, 2.5, 1 + 32 - 32 / 1.5), 9)
    expect(split?.interval.highMs).toBeCloseTo(38 + Math.hypot(1.5, 2.5, 1 + 32), 9)
    expect(split?.moves.map(({ what }) => what)).toEqual(['device', 'cloud', 'device>cloud'])
  })

  it('of a link whose messages vary widens what one request may take, not what is typical', () => {
    const steady = uncertain()
    const links = steady.links.map((one) => ({ ...one, perMessageMs: 3, jitterMs: 7 }))
    const still = { ...steady, links: links.map((one) => ({ ...one, jitterMs: 0 })) }
    const [moving, quiet] = [{ ...steady, links }, still].map((problem) =>
      solve(problem).plans.find((plan) => shape(plan) === 'device 0-1 cloud 1-3'),
    )
    expect(moving?.predictedMs).toBe(41)
    expect(moving?.typicalInterval).toEqual(quiet?.typicalInterval)
    expect(moving?.interval.highMs).toBeCloseTo(41 + Math.hypot(1.5, 2.5, 1 + 32 + 7), 9)
    // No message is faster than one that costs nothing beyond the round trip.
    expect(moving?.interval.lowMs).toBeCloseTo(41 - Math.hypot(1, 2.5, 1 + 32 - 32 / 1.5 + 3), 9)
  })

  it('adds what the stages of one computer move as a sum: they are slow and quick together', () => {
    const apart = uncertain()
    const together = { ...apart, profiles: apart.profiles.map((one) => ({ ...one, host: 'one' })) }
    const split = solve(together).plans.find((plan) => shape(plan) === 'device 0-1 cloud 1-3')
    expect(split?.interval.highMs).toBeCloseTo(38 + Math.hypot(1.5 + 2.5, 1 + 32), 9)
    expect(split?.moves.map(({ what }) => what)).toEqual(['one', 'device>cloud'])
  })

  it('takes the difference of two plans on one computer for surer than either', () => {
    const apart = uncertain()
    const links = apart.links.map((one) => ({ ...one, uncertainty: undefined }))
    const together = { ...apart, links, profiles: apart.profiles.map((one) => ({ ...one, host: 'one' })) }
    const gainOf = ({ why }: { why: string }) => Number(/uncertainty of ([\d.]+) ms/.exec(why)?.[1])
    const there = gainOf(solve({ ...apart, links }))
    expect(gainOf(solve(together))).toBeLessThan(there)
  })

  it('of one request may be wider than of the median of many', () => {
    const narrow = { confidence: 0.95, relative: 0.1, below: 0.05, fixedMs: 0 }
    const problem = uncertain()
    const profiles = problem.profiles.map((one) => ({ ...one, typical: narrow }))
    const alone = solve({ ...problem, profiles }).native[0]
    expect(alone?.typicalInterval).toEqual({ lowMs: 0.95 * 40, highMs: 1.1 * 40 })
    expect(alone?.interval).toEqual({ lowMs: 19, highMs: 61 })
  })

  it('with the confidence upper, plans on the bound', () => {
    const { plans } = solve(uncertain(), { confidence: 'upper' })
    expect(shape(plans[0])).toBe('device 0-3')
    expect(plans[0]?.predictedMs).toBe(61)
  })

  it('says not to split when the gain lies inside it, and only then', () => {
    expect(solve(uncertain()).why).toMatch(
      /; do not split: the gain of 2 ms over device alone lies inside the uncertainty of [\d.]+ ms$/,
    )
    expect(solve(twoTiers()).why).not.toContain('do not split')
    expect(solve(uncertain(), { firstLayersOnDevice: 1, maxTierMs: { device: 5 } }).why).not.toContain(
      'do not split',
    )
  })

  it('says so whatever is made small, in its own unit, but never of bytes, which are exact', () => {
    const busyWatts = { device: 10, cloud: 10 }
    // Split: 4 ms at 10 W and 5 ms that the device waits at 5 W; on the cloud alone it waits 6 ms.
    const energy = solve(uncertain(), { objective: 'energy', busyWatts, idleWatts: { device: 5 } })
    expect(energy.plans[0]?.energyJ).toBeCloseTo(0.065, 12)
    expect(energy.why).toMatch(
      /; do not split: the gain of 0\.005 J over cloud alone lies inside .* of [\d.]+ J$/,
    )
    expect(solve(uncertain(), { objective: 'throughput' }).why).toMatch(
      /; do not split: the gain of [\d.]+ ms per request over device alone lies inside the uncertainty of [\d.]+ ms/,
    )
    const bytes = solve(uncertain(), { objective: 'bytes', minStages: 1, maxTierMs: { device: 39 } })
    expect(bytes.plans[0]?.native).toBe(false)
    expect(bytes.why).not.toContain('do not split')
  })

  it('a bandwidth that is hardly known is not taken for none', () => {
    const problem = uncertain()
    const links = problem.links.map((one) => ({
      ...one,
      uncertainty: { rttMs: 0, bandwidthMbps: 5, returnBandwidthMbps: 5 },
    }))
    const { native } = solve({ ...problem, links })
    // The device, which only passes the input on, moves it by 1 ms, the cloud by 3.
    expect(native[1]?.interval.highMs).toBeCloseTo(4 + 2 + 80 + Math.hypot(1, 3, 720), 9)
  })

  it('a plan built on a profile that failed its own check says so', () => {
    const problem = twoTiers()
    const profiles = problem.profiles.map((one) => ({
      ...one,
      predictionError: { ok: one.resource !== 'cloud' },
    }))
    const [device, cloud] = solve({ ...problem, profiles }).native
    expect(device?.warnings).toEqual([])
    expect(cloud?.warnings).toEqual(['the profile of cloud failed its own check'])
  })
})

describe('a time limit', () => {
  /** A clock that has moved on by one ms each time it is looked at. */
  function ticking() {
    let ms = 0
    return () => {
      ms += 1
      return ms
    }
  }

  const layers = 120
  const figures = (tierIndex: number, ms: number) => ({
    tier: `t${tierIndex}`,
    tierIndex,
    layerMs: Array.from({ length: layers }, (_, at) => ms + ((at * 7) % 5) * 0.01),
  })
  const long = problemOf(
    Array.from({ length: layers + 1 }, (_, k) => ({ bytes: 1000 + ((k * 37) % 101) })),
    { a: figures(0, 1), b: figures(1, 0.9), c: figures(2, 0.8), d: figures(3, 0.7) },
    Object.fromEntries(
      ['a>b', 'a>c', 'a>d', 'b>c', 'b>d', 'c>d'].map((ends) => [
        ends,
        { rttMs: 1, mbps: 10, returnMbps: 10 },
      ]),
    ),
  )

  it('ends the search with the best plan so far and how far from the best it may be', () => {
    const query = { ...FREE, objective: 'throughput' as const, top: 1000 }
    const whole = optimise(long, query)
    expect(whole).not.toHaveProperty('gap')
    const cut = optimise(long, { ...query, timeLimitMs: 4 }, ticking())
    expect(cut.gap).toBeGreaterThan(0)
    const best = whole.plans[0]!.bottleneckMs
    const found = cut.plans[0]!.bottleneckMs
    expect(found).toBeGreaterThanOrEqual(best)
    expect(found * (1 - cut.gap!)).toBeLessThanOrEqual(best)
  })

  it('says so when it left no time to find any plan', () => {
    // Limits that single plans keep to, and none keeps to both: only looking at many plans shows it.
    const few = { ...FREE, minStages: 4, maxTotalUploadBytes: 3030 }
    const shortest = optimise(long, few).plans[0]!.predictedMs
    const hopeless = { ...few, maxLatencyMs: shortest - 0.001 }
    expect(() => optimise(long, hopeless)).toThrow('no plan satisfies all of')
    expect(() => optimise(long, { ...hopeless, timeLimitMs: 0.5 }, ticking())).toThrow(
      expect.objectContaining({ code: 'deadlineExceeded', details: { field: 'timeLimitMs' } }),
    )
  })

  it('is not needed: without one there is no clock', () => {
    const clock = () => {
      throw new Error('nobody looks at it')
    }
    expect(() => optimise(long, FREE, clock)).not.toThrow()
  })
})
