/** Decisions of a plan beyond cuts and resources, and its objectives: cases computed by hand. */
import { describe, expect, it } from 'vitest'
import {
  evaluatePlan,
  missingFigures,
  optimise,
  type OptimiserQuery,
  type Problem,
} from '../../shared/planning/index.ts'
import { Plan } from '../../shared/contracts/plan.ts'
import { parsePlanId } from '../../shared/contracts/plan-id.ts'
import { FREE, problemOf, threeTiers } from './problems.ts'

const shape = (plan: Plan | undefined) =>
  plan?.stages.map(({ resource, from, to }) => `${resource} ${from}-${to}`).join(' ')

function solve(problem: Problem, query: Partial<OptimiserQuery> = {}) {
  return optimise(problem, { ...FREE, ...query })
}

/** Device 40 ms; cloud 4 ms behind 2 ms and 1000 bytes at 125 bytes/ms for the input, fewer later. */
function twoTiers(change: Partial<Problem> = {}): Problem {
  const problem = problemOf(
    [{ bytes: 10_000 }, { bytes: 4000 }, { bytes: 4000 }, { bytes: 0 }],
    {
      device: { tier: 'device', tierIndex: 0, layerMs: [1, 10, 29] },
      cloud: { tier: 'cloud', tierIndex: 1, layerMs: [1, 1, 2] },
    },
    { 'device>cloud': { rttMs: 2, mbps: 1, returnMbps: 1 } },
  )
  return { ...problem, ...change }
}

const SPEEDS = [
  { codec: 'q8', encodeMsPerMb: 500, decodeMsPerMb: 250 },
  { codec: 'zstd', encodeMsPerMb: 1000, decodeMsPerMb: 1000 },
]

function withCodecs(): Problem {
  const problem = twoTiers()
  return {
    ...problem,
    profiles: problem.profiles.map((profile) => ({ ...profile, codecs: SPEEDS })),
    codecs: [
      { name: 'q8', cells: [{ boundary: 1, bytesRatio: 0.25, accuracyLoss: 0.02 }] },
      { name: 'zstd', cells: [{ boundary: 1, bytesRatio: 0.5, accuracyLoss: 0 }] },
    ],
  }
}

describe('codecs', () => {
  it('are part of the plan: with half the loss allowed the lossless one, with enough the smaller', () => {
    const [lossless] = solve(withCodecs(), { maxAccuracyLoss: 0.01 }).plans
    // 1 + 4 encode + 2 + 2000 / 125 + 4 decode + 3
    expect(lossless?.predictedMs).toBeCloseTo(30, 9)
    expect(Plan.parse(lossless).transfers).toMatchObject([
      { codec: 'zstd', bytes: 4000, wireBytes: 2000, encodeMs: 4, decodeMs: 4, ms: 18 },
    ])
    const [lossy] = solve(withCodecs(), { maxAccuracyLoss: 0.02 }).plans
    expect(lossy?.predictedMs).toBeCloseTo(1 + 2 + (2 + 8) + 1 + 3, 9)
    expect(lossy).toMatchObject({ accuracyLoss: 0.02, bytes: 1000 })
    expect(lossy?.id).toMatch(/\.device_0-1\.cloud_1-3_q8$/)
  })

  it('lose nothing unless the query allows it', () => {
    for (const plan of solve(withCodecs(), { top: 100 }).plans) expect(plan.accuracyLoss).toBe(0)
  })

  it('can be told which to use', () => {
    const none = solve(withCodecs(), { codecs: [], maxAccuracyLoss: 1, top: 100 })
    expect(none.plans.flatMap(({ transfers }) => transfers.map(({ codec }) => codec))).not.toContain('zstd')
    expect(() => solve(withCodecs(), { codecs: ['q9'] })).toThrow(
      'codecs: unknown codec "q9"; did you mean q8?',
    )
  })

  it('need the speed of both ends', () => {
    const problem = withCodecs()
    const deaf = problem.profiles.map((one) => (one.resource === 'cloud' ? { ...one, codecs: [] } : one))
    const { plans } = solve({ ...problem, profiles: deaf }, { maxAccuracyLoss: 1, top: 100 })
    expect(plans.every(({ transfers }) => transfers.every(({ codec }) => codec === 'none'))).toBe(true)
    const named = parsePlanId(solve(problem, { maxAccuracyLoss: 1 }).plans[0]!.id)
    expect(() => evaluatePlan({ ...problem, profiles: deaf }, named)).toThrow(
      'how fast cloud is at codec q8 is not measured',
    )
    expect(() => evaluatePlan({ ...problem, codecs: [] }, named)).toThrow(
      'codec q8 is not calibrated at boundary 1',
    )
  })

  it('count as work of the resource that encodes or decodes when steps overlap', () => {
    const problem = withCodecs()
    const slow = problem.profiles.map((one) =>
      one.resource === 'cloud'
        ? { ...one, codecs: [{ codec: 'q8', encodeMsPerMb: 0, decodeMsPerMb: 5000 }] }
        : one,
    )
    const id = solve(problem, { maxAccuracyLoss: 1 }).plans[0]!.id
    expect(evaluatePlan({ ...problem, profiles: slow }, parsePlanId(id)).bottleneckMs).toBe(20 + 3)
  })

  it('are evaluated from the id as they were planned', () => {
    const problem = withCodecs()
    for (const plan of solve(problem, { maxAccuracyLoss: 1, top: 100 }).plans)
      expect(evaluatePlan(problem, parsePlanId(plan.id))).toEqual(plan)
  })
})

describe('runtime options', () => {
  const own = { threads: 1, optimisation: 'all' as const }
  const four = { threads: 4, optimisation: 'all' as const }
  const problem = twoTiers()
  const both: Problem = {
    ...problem,
    resources: problem.resources.map((one) => ({ ...one, options: own })),
    profiles: problem.profiles.flatMap((profile) => [
      { ...profile, options: four, layerMs: profile.resource === 'device' ? [1, 3, 8] : [5, 5, 5] },
      { ...profile, options: own },
    ]),
  }

  it('are chosen per stage among the profiles of a resource, and named where they are not its own', () => {
    const { plans, native } = solve(both)
    expect(plans[0]?.predictedMs).toBe(12)
    expect(plans[0]?.stages).toMatchObject([{ resource: 'device', options: four }])
    expect(plans[0]?.id).toMatch(/\.device_0-3_t4-all$/)
    expect(native.map((plan) => plan.id.split('.').at(-1))).toEqual(['device_0-3_t4-all', 'cloud_0-3'])
    expect(native[1]?.stages[0]).not.toHaveProperty('options')
    for (const plan of plans) expect(evaluatePlan(both, parsePlanId(plan.id))).toEqual(plan)
  })

  it('that are the resource’s own have one id, however they are asked for', () => {
    const parts = parsePlanId(solve(both).native[1]!.id)
    const named = { ...parts, stages: parts.stages.map((stage) => ({ ...stage, options: own })) }
    expect(evaluatePlan(both, named).id).toBe(solve(both).native[1]!.id)
  })

  it('that no profile has are not measured', () => {
    const id = `${solve(both).native[1]!.id}_t8-basic`
    expect(() => evaluatePlan(both, parsePlanId(id))).toThrow(
      'cloud has no profile of this model with 8 threads, basic: benchmark the model on it',
    )
  })

  it('are refused when two profiles have the same', () => {
    const twice = { ...both, profiles: [...both.profiles, both.profiles[0]!] }
    expect(() => solve(twice)).toThrow('device with 4 threads, all given twice')
  })
})

describe('costs of beginning and ending a stage', () => {
  it('move the cut to where they are low, and leave the model’s own ends alone', () => {
    const problem = threeTiers()
    const cheap = solve(problem).plans[0]
    expect(shape(cheap)).toBe('edge 0-1 cloud 1-4')
    const enterMs = [0, 50, 0, 0, 0]
    const profiles = problem.profiles.map((one) => (one.resource === 'cloud' ? { ...one, enterMs } : one))
    const dear = solve({ ...problem, profiles }).plans[0]
    expect(shape(dear)).toBe('edge 0-2 cloud 2-4')
    expect(dear?.predictedMs).toBeCloseTo(22.1, 9)
  })

  it('never make a stage take less than nothing', () => {
    const problem = threeTiers()
    const exitMs = [0, -100, 0, 0, 0]
    const profiles = problem.profiles.map((one) => (one.resource === 'device' ? { ...one, exitMs } : one))
    const best = solve({ ...problem, profiles }, { firstLayersOnDevice: 1 }).plans[0]
    expect(shape(best)).toBe('device 0-1 edge 1-2 cloud 2-4')
    expect(best?.stages[0]?.computeMs).toBe(0)
    expect(best?.predictedMs).toBeCloseTo(31.1 - 10, 9)
  })
})

describe('objectives', () => {
  const figures = {
    busyWatts: { device: 2, cloud: 100 },
    idleWatts: { device: 1, cloud: 10 },
    transmitWatts: { device: 3 },
    pricePerSecond: { cloud: 0.5 },
    pricePerGb: { device: 1000 },
  }

  it('energy is what all resources on the path draw during the request', () => {
    const { native } = solve(twoTiers({ figures }))
    const [device, cloud] = native
    // Alone: 40 ms busy. Offloaded: 82 ms wait and wire, 4 ms compute; the wire alone 80 ms.
    expect(device?.energyJ).toBeCloseTo((2 * 40) / 1000, 12)
    expect(cloud?.predictedMs).toBe(86)
    expect(cloud?.energyJ).toBeCloseTo((3 * 80 + 1 * 6 + 100 * 4 + 10 * 82) / 1000, 12)
    expect(shape(solve(twoTiers({ figures }), { objective: 'energy' }).plans[0])).toBe('device 0-3')
  })

  it('price counts seconds of compute and bytes sent on', () => {
    const [device, cloud] = solve(twoTiers({ figures })).native
    expect(device?.price).toBe(0)
    expect(cloud?.price).toBeCloseTo((0.5 * 4) / 1000 + (1000 * 10_000) / 1e9, 12)
  })

  it('a resource without any watts or prices, where others have them, is named: it counts as free', () => {
    const problem = twoTiers()
    expect(missingFigures(problem, { busyWatts: { device: 4 } })).toEqual([
      'no watts are given for cloud: counted as 0 in every energy',
    ])
    expect(missingFigures(problem, { busyWatts: { device: 4 }, idleWatts: { cloud: 1 } })).toEqual([])
    expect(missingFigures({ ...problem, figures: { pricePerGb: { cloud: 1 } } }, {})).toEqual([
      'no prices are given for device: counted as 0 in every price',
    ])
    expect(missingFigures(problem, {})).toEqual([])
  })

  it('figures in the query go before those of the problem', () => {
    const [device] = solve(twoTiers({ figures }), { busyWatts: { device: 10 } }).native
    expect(device?.energyJ).toBeCloseTo(0.4, 12)
  })

  it('bytes keeps everything where it is, and has latency decide between equals', () => {
    const { plans } = solve(twoTiers(), { objective: 'bytes' })
    expect(plans.map((plan) => [shape(plan), plan.bytes])).toEqual([
      ['device 0-3', 0],
      ['device 0-1 cloud 1-3', 4000],
      ['device 0-2 cloud 2-3', 4000],
      ['cloud 0-3', 10_000],
    ])
  })

  it('weighted weighs ms against bytes', () => {
    const best = (bytes: number) =>
      shape(solve(threeTiers(), { objective: 'weighted', weights: { latency: 1, bytes } }).plans[0])
    expect(best(0)).toBe('edge 0-1 cloud 1-4')
    expect(best(0.01)).toBe('edge 0-2 cloud 2-4')
    expect(best(1)).toBe('device 0-4')
  })

  it('a front holds all trade-offs, none of which is beaten', () => {
    const { plans } = solve(twoTiers({ figures }), { pareto: ['latency', 'bytes'] })
    expect(plans.map((plan) => [shape(plan), plan.predictedMs, plan.bytes])).toEqual([
      ['device 0-1 cloud 1-3', 38, 4000],
      ['device 0-3', 40, 0],
    ])
  })

  it('distinct: resources lists one plan per set of resources', () => {
    const { plans } = solve(threeTiers(), { distinct: 'resources', top: 100 })
    const sets = plans.map(({ stages }) => stages.map(({ resource }) => resource).join())
    expect(new Set(sets).size).toBe(sets.length)
    expect(sets.length).toBe(7)
    expect(solve(threeTiers(), { distinct: 'resources', top: 2 }).plans).toEqual(plans.slice(0, 2))
  })
})

describe('privacy up to a tensor', () => {
  it('keeps what makes it on the device', () => {
    const { plans } = solve(threeTiers(), { tensorOnDevice: 't2', top: 100 })
    for (const { stages } of plans) expect(stages[0]).toMatchObject({ resource: 'device', from: 0 })
    expect(Math.min(...plans.map(({ stages }) => stages[0]!.to))).toBe(2)
    expect(() => solve(threeTiers(), { tensorOnDevice: 't9' })).toThrow('unknown tensor "t9"')
  })

  it('asks nothing of an input of the model', () => {
    expect(solve(threeTiers(), { tensorOnDevice: 't0' }).plans).toEqual(solve(threeTiers()).plans)
  })
})

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

  it('spans every part at its bounds', () => {
    const split = solve(uncertain()).plans.find((plan) => shape(plan) === 'device 0-1 cloud 1-3')
    expect(split?.predictedMs).toBe(38)
    // Stages of 1 and 3 ms, 2 ms and 32 ms on the wire.
    expect(split?.interval.lowMs).toBeCloseTo(0 + 0.5 + 1 + 32 / 1.5, 9)
    expect(split?.interval.highMs).toBeCloseTo(2.5 + 5.5 + 3 + 64, 9)
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
      /; do not split: the gain of 0\.005 J over cloud alone lies inside .* of 0\.0743 J$/,
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
    expect(native[1]?.interval.highMs).toBeCloseTo(7 + 2 + 800, 9)
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
