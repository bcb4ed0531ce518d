/** Decisions of a plan beyond cuts and resources: cases computed by hand. */
import { describe, expect, it } from 'vitest'
import { evaluatePlan, type Problem } from '../../shared/planning/index.ts'
import { Plan } from '../../shared/contracts/plan.ts'
import { parsePlanId } from '../../shared/contracts/plan-id.ts'
import { threeTiers } from './problems.ts'
import { shape, solve, twoTiers } from './two-tiers.ts'

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
