/** Answers of the graph view: shape, gap, refusals, and their relation to the chain view. */
import { describe, expect, it } from 'vitest'
import {
  evaluatePlan,
  type GraphProblem,
  type OptimiserQuery,
  optimise,
  optimiseGraph,
} from '../../shared/planning/index.ts'
import { parsePlanId } from '../../shared/contracts/plan-id.ts'
import { zooGraph } from '../../shared/zoo/index.ts'
import { graphStructure, type LayerWires } from './graph-cases.ts'
import { MODEL, SHAPES } from './problems.ts'

const FREE: OptimiserQuery = { objective: 'latency', top: 1, cuts: 'any' }

const layer = (inputs: number[], bytes: number): LayerWires => ({
  inputs,
  outputs: [bytes],
  isOutput: false,
  weightBytes: 1,
})

interface Machine {
  layerMs: number[]
  enterMs?: number[]
}

/** device → edge → cloud as far as they are given; 0.008 Mbps carries 1 byte per ms. */
function problemOf(
  structure: GraphProblem['structure'],
  machines: Partial<Record<'device' | 'edge' | 'cloud', Machine>>,
  links: Record<string, number>,
  rttMs = 1,
): GraphProblem {
  const names = Object.keys(machines) as (keyof typeof machines)[]
  return {
    structure,
    resources: names.map((name) => ({
      name,
      tier: name,
      tierIndex: ['device', 'edge', 'cloud'].indexOf(name),
      slowdown: 1,
      emulated: false,
    })),
    profiles: names.map((resource) => ({
      resource,
      model: MODEL,
      shapesKey: SHAPES,
      emulated: false,
      layerMs: machines[resource]!.layerMs,
      ...(machines[resource]!.enterMs && { enterMs: machines[resource]!.enterMs }),
    })),
    links: Object.entries(links).map(([ends, bytesPerMs]) => {
      const [from = '', to = ''] = ends.split('>')
      const mbps = 0.008 * bytesPerMs
      return {
        from,
        to,
        rttMs,
        bandwidthMbps: mbps,
        returnBandwidthMbps: 8000,
        source: 'measured',
        emulated: false,
      }
    }),
  }
}

/** Two branches from the input: 0 → 2 is cheap on the device, 1 → 3 in the cloud; layer 4 joins them. */
function branches(): GraphProblem {
  const structure = graphStructure(
    [1],
    [layer([0], 50), layer([0], 50), layer([1], 1), layer([2], 50), layer([3, 4], 0)],
    [],
  )
  return problemOf(
    structure,
    { device: { layerMs: [1, 90, 1, 90, 90] }, cloud: { layerMs: [90, 1, 90, 1, 1] } },
    { 'device>cloud': 1 },
  )
}

describe('an answer of the graph view', () => {
  it('cuts through parallel branches, names the tensors that cross, and cannot be deployed then', () => {
    const { plans, gap, native } = optimiseGraph(branches(), FREE)
    expect(gap).toBe(0)
    expect(plans[0]).toMatchObject({
      deployable: false,
      stages: [
        {
          resource: 'device',
          layers: [
            [0, 1],
            [2, 3],
          ],
          computeMs: 2,
        },
        {
          resource: 'cloud',
          layers: [
            [1, 2],
            [3, 5],
          ],
          computeMs: 3,
        },
      ],
      transfers: [{ from: 'device', to: 'cloud', tensors: ['t0', 't3'], bytes: 2 }],
    })
    expect(plans[0]?.id).toBe(undefined)
    expect(plans[0]?.predictedMs).toBeCloseTo(2 + 3 + 1 + 2, 9)
    expect(native.map((plan) => plan.stages[0]?.resource)).toEqual(['device', 'cloud'])
    const [chain] = optimise(branches(), { ...FREE }).plans
    expect(chain!.predictedMs).toBeGreaterThan(plans[0]!.predictedMs)
  })

  it('never cuts inside what must stay together: a quantisation pattern, and for clean cuts what is fused', () => {
    const problem = branches()
    const marked = (mark: object): GraphProblem => {
      const boundaries = problem.structure.boundaries.map((one) => (one.k === 2 ? { ...one, ...mark } : one))
      return { ...problem, structure: { ...problem.structure, boundaries } }
    }
    const placed = (one: GraphProblem, query: OptimiserQuery) =>
      optimiseGraph(one, query).plans[0]!.stages.find(({ layers }) =>
        layers.some(([from, to]) => from <= 1 && 1 < to),
      )!
    const together = (stage: { layers: [number, number][] }) =>
      stage.layers.some(([from, to]) => from <= 1 && to > 2)
    expect(together(placed(problem, FREE))).toBe(false)
    expect(together(placed(marked({ allowed: false }), FREE))).toBe(true)
    expect(together(placed(marked({ clean: false }), FREE))).toBe(false)
    expect(together(placed(marked({ clean: false }), { ...FREE, cuts: 'clean' }))).toBe(true)
  })

  it('is the chain view’s own plan where it can be deployed, at the same cost', () => {
    const structure = graphStructure([9], [layer([0], 2), layer([1], 3), layer([2], 1)], [])
    const problem = problemOf(
      structure,
      { device: { layerMs: [1, 5, 20] }, cloud: { layerMs: [9, 4, 2] } },
      { 'device>cloud': 1 },
    )
    const [plan] = optimiseGraph(problem, FREE).plans
    expect(plan?.deployable).toBe(true)
    const same = evaluatePlan(problem, parsePlanId(plan!.id!))
    expect(same.predictedMs).toBeCloseTo(plan!.predictedMs, 9)
    expect(same.stages.map(({ from, to, resource }) => ({ resource, layers: [[from, to]] }))).toEqual(
      plan!.stages.map(({ resource, layers }) => ({ resource, layers })),
    )
  })

  it('says that costs of beginning and ending a stage are not charged', () => {
    const structure = graphStructure([9], [layer([0], 2), layer([1], 3)], [])
    const problem = problemOf(structure, { device: { layerMs: [1, 5], enterMs: [0, 3, 0] } }, {})
    expect(optimiseGraph(problem, FREE).notes.join()).toMatch(/begins or ends.*device/)
    expect(optimiseGraph(branches(), FREE).notes).toEqual([])
  })

  it('refuses what it does not plan, naming the field', () => {
    const refused = (query: Partial<OptimiserQuery>) => () => optimiseGraph(branches(), { ...FREE, ...query })
    expect(refused({ codecs: ['zstd'] })).toThrow(/codecs: .*view=chain/)
    expect(refused({ objective: 'throughput' })).toThrow(/objective: .*minThroughput/)
    expect(refused({ objective: 'weighted', weights: { throughput: 1 } })).toThrow(/weights: .*minThroughput/)
    expect(refused({ sensitivity: true })).toThrow(/sensitivity: .*view=chain/)
    expect(refused({ pareto: ['latency', 'bytes'] })).toThrow(/pareto: .*view=chain/)
    expect(refused({ source: 'devise' })).toThrow(/did you mean device/)
    expect(refused({ firstLayersOnDevice: 6 })).toThrow(/from 0 to 5/)
    expect(refused({ codecs: ['none'] })).not.toThrow()
  })

  it('names demands that no plan satisfies together, each of them needed for that', () => {
    const query = { ...FREE, maxTierMs: { device: 2 }, mustNotUseTiers: ['cloud'], maxStages: 2 }
    let thrown: unknown
    try {
      optimiseGraph(branches(), query)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({
      code: 'infeasible',
      details: { conflict: ['mustNotUseTiers: cloud', 'maxTierMs: device:2'], minimal: true },
    })
    expect(() => optimiseGraph(branches(), { ...query, maxTierMs: {} })).not.toThrow()
    expect(() => optimiseGraph(branches(), { ...query, mustNotUseTiers: [] })).not.toThrow()
    expect(() => optimiseGraph(branches(), { ...FREE, maxLatencyMs: 5 })).toThrow('maxLatencyMs: 5')
  })

  it('finds the one layer that a place is used for, instead of passing tensors on', () => {
    const layers = 400
    const cost = (ms: number) => Array.from({ length: layers }, () => ms)
    const structure = graphStructure(
      [0],
      cost(0).map((_, at) => layer([at], 0)),
      [],
    )
    const problem = problemOf(
      structure,
      { device: { layerMs: cost(10) }, edge: { layerMs: cost(100) }, cloud: { layerMs: cost(0) } },
      { 'device>edge': 1, 'edge>cloud': 1, 'device>cloud': 1 },
    )
    problem.links.find(({ to, from }) => from === 'device' && to === 'cloud')!.rttMs = 1000
    const { plans, gap } = optimiseGraph(problem, FREE)
    expect([plans[0]?.predictedMs, gap]).toEqual([102, 0])
    expect(plans[0]?.stages.map(({ resource }) => resource)).toEqual(['edge', 'cloud'])
  })
})

/** 18 networks' largest with branches everywhere, as its nodes are. */
function nasnet(): GraphProblem {
  const graph = zooGraph('nasnetmobile')
  const constants = new Set([...graph.weights, ...graph.constants].map(({ name }) => name))
  const index = new Map([[graph.input.name, 0]])
  const wires = graph.nodes.map((node, at): LayerWires => {
    index.set(node.output[0]!, at + 1)
    const inputs = node.input.filter((name) => name !== '' && !constants.has(name))
    const shape = graph.shapes.get(node.output[0]!)!
    return {
      inputs: [...new Set(inputs)].map((name) => index.get(name)!),
      outputs: [4 * shape.reduce((product, dim) => product * dim, 1)],
      isOutput: false,
      weightBytes: 1,
    }
  })
  const cost = (ms: number) => wires.map((_, at) => ms * (1 + ((at * 7919) % 13) / 13))
  return problemOf(
    graphStructure([600_000], wires, []),
    { device: { layerMs: cost(1) }, edge: { layerMs: cost(0.3) }, cloud: { layerMs: cost(0.03) } },
    { 'device>edge': 5000, 'edge>cloud': 20_000, 'device>cloud': 2000 },
  )
}

describe('a search with limits on a large graph', () => {
  const limits: Partial<OptimiserQuery> = {
    maxTierMs: { device: 60, cloud: 20 },
    maxUploadBytes: { edge: 300_000 },
  }

  it('stops at the time limit with a plan that keeps the limits and a gap that is true', () => {
    const problem = nasnet()
    let time = 0
    // Each look at the clock costs 1 ms of its own: no wall time in a test.
    const { plans, gap } = optimiseGraph(problem, { ...FREE, ...limits, timeLimitMs: 25 }, () => (time += 1))
    const [plan] = plans
    for (const { tier, computeMs } of plan!.stages)
      expect(computeMs).toBeLessThanOrEqual(limits.maxTierMs![tier] ?? Infinity)
    for (const { from, bytes } of plan!.transfers)
      expect(bytes).toBeLessThanOrEqual(limits.maxUploadBytes![from] ?? Infinity)
    const unlimited = optimiseGraph(problem, FREE).plans[0]!
    expect(plan!.predictedMs * (1 - gap)).toBeLessThanOrEqual(plan!.predictedMs)
    expect(unlimited.predictedMs).toBeLessThanOrEqual(plan!.predictedMs)
    // Given more, it finds nothing better than the gap allowed for.
    const longer = optimiseGraph(problem, { ...FREE, ...limits, timeLimitMs: 2000 }, () => (time += 1))
    expect(longer.plans[0]!.predictedMs).toBeGreaterThanOrEqual(plan!.predictedMs * (1 - gap) - 1e-9)
    expect(longer.gap).toBeLessThanOrEqual(gap)
  })

  it('is never worse than the best chain plan under the same limits', () => {
    const problem = nasnet()
    let time = 0
    const query = { ...FREE, ...limits, timeLimitMs: 25 }
    const [graph] = optimiseGraph(problem, query, () => (time += 1)).plans
    const [chain] = optimise(problem, { ...FREE, ...limits }).plans
    expect(graph!.predictedMs).toBeLessThanOrEqual(chain!.predictedMs * (1 + 1e-9))
  })

  it('with no time at all is the best chain plan, and the gap says that nothing is proven', () => {
    const problem = nasnet()
    let time = 0
    const { plans, gap } = optimiseGraph(problem, { ...FREE, timeLimitMs: 0.001 }, () => (time += 1))
    const [chain] = optimise(problem, { ...FREE }).plans
    expect(plans[0]?.predictedMs).toBeCloseTo(chain!.predictedMs, 9)
    expect(gap).toBe(1)
  })
})
