import { describe, expect, it } from 'vitest'
import { optimise, type OptimiserQuery, type Problem } from '../../shared/planning/index.ts'
import { Plan } from '../../shared/contracts/plan.ts'
import { FREE, problemOf, threeTiers } from './problems.ts'

const shape = (plan: Plan) => plan.stages.map(({ resource, from, to }) => `${resource} ${from}-${to}`)

function solve(problem: Problem, query: Partial<OptimiserQuery> = {}) {
  return optimise(problem, { ...FREE, ...query })
}

describe('optimise', () => {
  it('finds the split that a hand calculation finds, with its stages and transfers', () => {
    const { plans } = solve(threeTiers())
    expect(Plan.parse(plans[0])).toMatchObject({
      source: 'device',
      stages: [
        { resource: 'edge', tier: 'edge', from: 0, to: 1, computeMs: 5, weightBytes: 1, memoryBytes: 501 },
        {
          resource: 'cloud',
          tier: 'cloud',
          from: 1,
          to: 4,
          computeMs: 3,
          weightBytes: 15,
          memoryBytes: 1016,
        },
      ],
      transfers: [
        // 4 ms + 500 bytes at 125 bytes/ms; 2 ms + 1000 bytes at 1250 bytes/ms.
        { from: 'device', to: 'edge', boundary: 0, bytes: 500, ms: 8, returnBytes: 0, returnMs: 0 },
        { from: 'edge', to: 'cloud', boundary: 1, bytes: 1000, ms: 2.8, returnBytes: 0, returnMs: 0 },
      ],
      computeMs: 8,
      transferMs: 10.8,
      predictedMs: 18.8,
      bottleneckMs: 8,
      native: false,
      emulated: false,
    })
  })

  it('lists the best plans in order and says how many there were', () => {
    const { plans, considered } = solve(threeTiers(), { top: 100 })
    // Native 3; two stages 3 pairs x 3 cuts; three stages 3 pairs of cuts.
    expect(considered).toBe(15)
    expect(plans.length).toBe(15)
    const times = plans.map((plan) => plan.predictedMs)
    expect(times).toEqual([...times].sort((a, b) => a - b))
    expect(new Set(plans.map((plan) => plan.id)).size).toBe(15)
  })

  it('gives the native baselines whatever the constraints', () => {
    const { native } = solve(threeTiers(), { mustNotUseTiers: ['edge', 'cloud'] })
    expect(native.map((plan) => [shape(plan)[0], plan.predictedMs, plan.native])).toEqual([
      ['device 0-4', 40, true],
      ['edge 0-4', 28, true],
      ['cloud 0-4', 34, true],
    ])
  })

  it('sends the answer back over every link it came by', () => {
    const problem = problemOf(
      [{ bytes: 0 }, { bytes: 0 }, { bytes: 0 }, { bytes: 250 }],
      {
        device: { tier: 'device', tierIndex: 0, layerMs: [1, 100, 100] },
        edge: { tier: 'edge', tierIndex: 1, layerMs: [100, 1, 100] },
        cloud: { tier: 'cloud', tierIndex: 2, layerMs: [100, 100, 1] },
      },
      {
        'device>edge': { rttMs: 1, mbps: 1, returnMbps: 0.5 },
        'edge>cloud': { rttMs: 1, mbps: 1, returnMbps: 1 },
      },
    )
    const best = solve(problem).plans[0]!
    expect(shape(best)).toEqual(['device 0-1', 'edge 1-2', 'cloud 2-3'])
    expect(best.transfers.map((transfer) => transfer.returnMs)).toEqual([4, 2])
    expect(best.predictedMs).toBe(3 + 2 + 6)
  })

  it('multiplies compute by the slowdown and calls such plans emulated, others not', () => {
    const problem = threeTiers()
    const slowed = problem.resources.map((one) => (one.name === 'edge' ? { ...one, slowdown: 3 } : one))
    const { native } = solve({ ...problem, resources: slowed })
    expect(native.map((plan) => [plan.computeMs, plan.emulated])).toEqual([
      [40, false],
      [60, true],
      [4, false],
    ])
  })

  it('calls a plan emulated when a link or a profile behind it is', () => {
    const problem = threeTiers()
    const links = problem.links.map((link) => ({ ...link, emulated: link.to === 'edge' }))
    expect(solve({ ...problem, links }).native.map((plan) => plan.emulated)).toEqual([false, true, false])
    const profiles = problem.profiles.map((one) => ({ ...one, emulated: one.resource === 'cloud' }))
    expect(solve({ ...problem, profiles }).native.map((plan) => plan.emulated)).toEqual([false, false, true])
  })

  it('says of each plan where its figures come from', () => {
    const problem = threeTiers()
    const links = problem.links.map((link) =>
      link.to === 'cloud' ? { ...link, source: 'override' as const } : link,
    )
    const profiles = problem.profiles.map((one) =>
      one.resource === 'edge' ? { ...one, source: 'imported' as const } : one,
    )
    const { native } = solve({ ...problem, links, profiles })
    expect(native.map(({ sources }) => sources)).toEqual([
      ['measured'],
      ['imported', 'measured'],
      ['measured', 'override'],
    ])
  })

  it('uses no pair without a link, and still goes the long way round', () => {
    const problem = threeTiers()
    const links = problem.links.filter((link) => !(link.from === 'device' && link.to === 'cloud'))
    const { plans, native } = solve({ ...problem, links }, { top: 100 })
    expect(plans.length).toBe(11)
    expect(plans.some((plan) => plan.transfers.some(({ from, to }) => from + to === 'devicecloud'))).toBe(
      false,
    )
    expect(native.map((plan) => shape(plan)[0])).toEqual(['device 0-4', 'edge 0-4'])
  })

  it('leaves out what cannot be used and says why', () => {
    const problem = problemOf(
      [{ bytes: 1 }, { bytes: 1 }],
      {
        device: { tier: 'device', tierIndex: 0, layerMs: [1] },
        twin: { tier: 'device', tierIndex: 0, layerMs: [1] },
        edge: { tier: 'edge', tierIndex: 1, layerMs: undefined },
        cloud: { tier: 'cloud', tierIndex: 2, layerMs: [1] },
      },
      {
        'device>edge': { rttMs: 1, mbps: 1, returnMbps: 1 },
        'edge>cloud': { rttMs: 1, mbps: 1, returnMbps: 1 },
      },
    )
    const { plans, leftOut } = solve(problem, { source: 'device' })
    expect(plans.map(shape)).toEqual([['device 0-1']])
    expect(leftOut).toEqual([
      { resource: 'twin', reason: "plans only move forward, and tier device is not after device's" },
      { resource: 'edge', reason: 'it has no profile of this model: benchmark the model on it' },
      { resource: 'cloud', reason: 'no link leads to it: device → cloud not measured' },
    ])
  })

  it('plans from a source that has no profile and so runs nothing', () => {
    const problem = threeTiers()
    const profiles = problem.profiles.filter((profile) => profile.resource !== 'device')
    const { plans, leftOut } = solve({ ...problem, profiles })
    expect(shape(plans[0]!)).toEqual(['edge 0-1', 'cloud 1-4'])
    expect(leftOut.map(({ resource }) => resource)).toEqual(['device'])
  })

  it('never cuts where results would change, even when any cut is allowed', () => {
    const problem = threeTiers()
    const boundaries = problem.structure.boundaries.map((boundary) => ({
      ...boundary,
      clean: boundary.k !== 2,
      allowed: boundary.k !== 1,
    }))
    const structure = { ...problem.structure, boundaries }
    const cutsOf = (cuts: 'clean' | 'any') => {
      const { plans } = solve({ ...problem, structure }, { cuts, top: 100 })
      return [...new Set(plans.flatMap(({ stages }) => stages.slice(1).map((stage) => stage.from)))].sort(
        (a, b) => a - b,
      )
    }
    expect(cutsOf('clean')).toEqual([3])
    expect(cutsOf('any')).toEqual([2, 3])
  })

  it('breaks ties by fewer stages, then earlier resources, then earlier cuts', () => {
    const free = { rttMs: 0, mbps: 1, returnMbps: 1 }
    const problem = problemOf(
      [{ bytes: 0 }, { bytes: 0 }, { bytes: 0 }],
      {
        b: { tier: 'edge', tierIndex: 1, layerMs: [1, 1] },
        a: { tier: 'edge', tierIndex: 1, layerMs: [1, 1] },
        device: { tier: 'device', tierIndex: 0, layerMs: [1, 1] },
      },
      { 'device>a': free, 'device>b': free },
    )
    expect(solve(problem).plans.map((plan) => shape(plan).join(' '))).toEqual([
      'device 0-2',
      'a 0-2',
      'b 0-2',
      'device 0-1 a 1-2',
      'device 0-1 b 1-2',
    ])
  })

  it('puts earlier resources before earlier cuts among plans that tie', () => {
    const free = { rttMs: 0, mbps: 1, returnMbps: 1 }
    const problem = problemOf(
      [{ bytes: 0 }, { bytes: 0 }, { bytes: 0 }, { bytes: 0 }, { bytes: 0 }],
      {
        device: { tier: 'device', tierIndex: 0, layerMs: [0, 0, 0, 0] },
        edge: { tier: 'edge', tierIndex: 1, layerMs: [0, 0, 0, 0] },
        a: { tier: 'cloud', tierIndex: 2, layerMs: [1, 1, 1, 0] },
        b: { tier: 'cloud', tierIndex: 2, layerMs: [0, 0, 0, 0] },
      },
      { 'device>edge': free, 'edge>a': free, 'edge>b': free },
    )
    const { plans } = solve(problem, { minStages: 3 })
    expect(plans.map((plan) => shape(plan).join(' '))).toEqual([
      'device 0-1 edge 1-3 a 3-4',
      'device 0-2 edge 2-3 a 3-4',
      'device 0-1 edge 1-2 b 2-4',
      'device 0-1 edge 1-3 b 3-4',
      'device 0-2 edge 2-3 b 3-4',
    ])
  })

  it('for throughput, shortens the slowest step instead of the sum', () => {
    const { plans, why } = solve(threeTiers(), { objective: 'throughput', top: 2 })
    // The input alone takes 8 ms to the edge; one layer on the device or two on the edge take 10 ms.
    expect(plans.map((plan) => [shape(plan).join(' '), plan.bottleneckMs, plan.predictedMs])).toEqual([
      ['edge 0-1 cloud 1-4', 8, 18.8],
      ['edge 0-2 cloud 2-4', 10, 22.1],
    ])
    expect(why).toContain(
      'edge [0,1) → cloud [1,4) wins: 8 ms per request against 40 ms per request on device',
    )
    expect(why).toContain('its slowest step is the transfer device → edge')
  })

  it.each([
    [{ mustRunLayers: ['2-4:edge'] }, 'edge 0-4', 28],
    [{ mustNotRunLayers: ['0:edge'] }, 'device 0-1 edge 1-2 cloud 2-4', 31.1],
    [{ mustRunLayers: ['1:device'] }, 'device 0-2 edge 2-3 cloud 3-4', 33.2],
    [{ maxTierMs: { edge: 4 } }, 'cloud 0-4', 34],
    [{ maxUploadBytes: { device: 250 } }, 'device 0-2 edge 2-3 cloud 3-4', 33.2],
    // Weights are 1, 8, 5, 2 bytes; alive are 500, 1001, 127, 253.
    [{ maxMemoryBytes: { cloud: 140 } }, 'edge 0-4', 28],
    [{ minThroughput: 1000 / 12, firstLayersOnDevice: 1 }, 'device 0-1 edge 1-2 cloud 2-4', 31.1],
  ] as [Partial<OptimiserQuery>, string, number][])('keeps to %j', (query, expected, ms) => {
    const best = solve(threeTiers(), query).plans[0]!
    expect(shape(best).join(' ')).toBe(expected)
    expect(best.predictedMs).toBeCloseTo(ms, 9)
  })

  it('lists only plans within the latency asked for', () => {
    const { plans } = solve(threeTiers(), { maxLatencyMs: 28, top: 100 })
    expect(plans.map((plan) => plan.predictedMs)).toEqual([18.8, 22.1, 26.2, 28])
    expect(() => solve(threeTiers(), { maxLatencyMs: 18 })).toThrow(
      'no plan satisfies maxLatencyMs: 18; one would with maxLatencyMs at least 18.8',
    )
  })

  it('asks for the source when the first tier has several resources', () => {
    const figures = { tier: 'device', tierIndex: 0, layerMs: [1] }
    const problem = problemOf([{ bytes: 1 }, { bytes: 1 }], { phone: figures, camera: figures }, {})
    expect(() => solve(problem)).toThrow(
      'source: the first tier has 2 resources, camera, phone: say which has the input',
    )
    expect(solve(problem, { source: 'phone' }).plans[0]?.source).toBe('phone')
  })
})
