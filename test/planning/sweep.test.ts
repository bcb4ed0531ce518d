/** Sweeps: each cell as if it were solved alone, though most are not. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SweepAxis, SweepGrid } from '../../shared/contracts/plan-sweep.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { type OptimiserQuery, type Problem, sweep } from '../../shared/planning/index.ts'
import { conditionsOf } from '../../shared/planning/sweep/grid-conditions.ts'
import { reprice, solveBest, solveFirst } from '../../shared/planning/sweep/resolve.ts'
import { EXACT, FREE, MEASURED, type Numbers, problemOf, problems, queries, threeTiers } from './problems.ts'
import { richProblems, richQueries } from './rich-problems.ts'

const BANDWIDTHS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]

/** 100 layers whose outputs shrink, over three machines; the same each time. */
function longChain(): Problem {
  let state = 7
  const random = () => (state = (state * 48271) % 2147483647) / 2147483647
  const bytes = (k: number) => (k === 0 ? 600_000 : Math.round(3e6 * Math.exp(-k / 25) * (0.2 + random())))
  const layerMs = (factor: number) => Array.from({ length: 100 }, () => factor * (0.2 + random()))
  return problemOf(
    Array.from({ length: 101 }, (_, k) => ({ bytes: bytes(k) })),
    {
      device: { tier: 'device', tierIndex: 0, layerMs: layerMs(10) },
      edge: { tier: 'edge', tierIndex: 1, layerMs: layerMs(3) },
      cloud: { tier: 'cloud', tierIndex: 2, layerMs: layerMs(1) },
    },
    {
      'device>edge': { rttMs: 10, mbps: 20, returnMbps: 20 },
      'device>cloud': { rttMs: 30, mbps: 20, returnMbps: 20 },
      'edge>cloud': { rttMs: 10, mbps: 100, returnMbps: 100 },
    },
  )
}

describe('a sweep', () => {
  it('over the bandwidth of one link finds the regimes of the chain by hand', () => {
    const links = [{ from: 'device', to: 'edge' }]
    const map = sweep(threeTiers(), { ...FREE, mustNotUseTiers: ['cloud'] }, [
      { vary: 'bandwidthMbps', links, values: BANDWIDTHS },
    ])
    // Alone 40 ms; cut at 2: 34 ms + 125 B; edge alone: 24 ms + 500 B. At x Mbps 125 B take 1/x ms.
    const names = map.cells.map((plan) => map.plans[plan]!.stages.map(({ resource }) => resource).join('+'))
    expect(names.slice(0, 3)).toEqual(['device', 'device+edge', 'edge'])
    expect(map.values[9]).toBeCloseTo(24.04, 12)
    const points = map.boundaries.map(({ plans, points: at }) => [plans, at])
    expect(points).toEqual([
      [[0, 1], [[expect.closeTo(1 / 6, 12)]]],
      [[1, 2], [[expect.closeTo(0.3, 12)]]],
    ])
  })

  it('solves few of the cells of a large grid', () => {
    const values = Array.from({ length: 100 }, (_, at) => 0.1 * 1.1 ** at)
    const map = sweep(threeTiers(), FREE, [
      { vary: 'bandwidthMbps', values },
      { vary: 'slowdown', resources: ['device'], values },
    ])
    expect(map.cells.length).toBe(10_000)
    expect(map.plans.length).toBeGreaterThan(2)
    expect(map.solved).toBeLessThan(100)
    expect(map.plans.reduce((sum, { cells }) => sum + cells, 0)).toBe(10_000)
  })

  it('finds the best plans of 10,000 cells of a chain of 100 layers by solving less than a hundredth of them', () => {
    const problem = longChain()
    const grid: SweepGrid = [
      { vary: 'bandwidthMbps', values: Array.from({ length: 100 }, (_, at) => 0.5 * 1.08 ** at) },
      {
        vary: 'slowdown',
        resources: ['device'],
        values: Array.from({ length: 100 }, (_, at) => 0.05 * 1.06 ** at),
      },
    ]
    // The limit on the edge does not depend on the device's slowdown.
    for (const query of [FREE, { ...FREE, firstLayersOnDevice: 5 }, { ...FREE, maxTierMs: { edge: 100 } }]) {
      const map = sweep(problem, query, grid)
      expect(map.plans.length).toBeGreaterThan(5)
      expect(map.solved).toBeLessThan(100)
      const conditions = conditionsOf(problem, grid)
      for (let cell = 37; cell < 10_000; cell += 199) {
        const best = solveBest(conditions.at(conditions.coordinatesOf(cell)), query)
        expect(map.plans[map.cells[cell]!]?.id).toBe(best?.plan.id)
        expect(map.values[cell]).toBeCloseTo(best!.value, 6)
      }
    }
  })

  it('solves only cells in which a limit on times bites', () => {
    const grid: SweepGrid = [
      { vary: 'bandwidthMbps', values: Array.from({ length: 30 }, (_, at) => 0.5 * 1.3 ** at) },
      {
        vary: 'slowdown',
        resources: ['edge'],
        values: Array.from({ length: 30 }, (_, at) => 0.05 * 1.2 ** at),
      },
    ]
    const query: OptimiserQuery = { ...FREE, maxTierMs: { edge: 30 }, minThroughput: 3 }
    const map = sweep(longChain(), query, grid)
    expect(map.solved).toBeLessThan(600)
    const conditions = conditionsOf(longChain(), grid)
    map.cells.forEach((plan, cell) => {
      const best = solveBest(conditions.at(conditions.coordinatesOf(cell)), query)
      expect(map.plans[plan]?.id).toBe(best?.plan.id)
    })
  })

  it('refuses more cells than can be solved one by one', () => {
    const values = Array.from({ length: 200 }, (_, at) => at + 1)
    const grid: SweepGrid = [
      { vary: 'bandwidthMbps', values },
      { vary: 'rttMs', values },
    ]
    expect(() => sweep(threeTiers(), { ...FREE, objective: 'throughput' }, grid)).toThrow(
      'axes: of 40000 cells too many have to be solved one by one, at most 10000 can be',
    )
  })

  it('says where no plan keeps to a limit', () => {
    const map = sweep(threeTiers(), { ...FREE, maxLatencyMs: 30 }, [
      { vary: 'bandwidthMbps', values: BANDWIDTHS },
    ])
    expect(map.cells[0]).toBe(-1)
    expect(map.values[0]).toBeNull()
    expect(map.cells.at(-1)).toBeGreaterThanOrEqual(0)
    expect(map.values.every((value) => value === null || value <= 30)).toBe(true)
  })

  it('takes presets as conditions without an order', () => {
    const map = sweep(threeTiers(), FREE, [
      { vary: 'network', values: ['wired', '3g', 'wifi'] },
      { vary: 'slowdown', resources: ['device'], values: [4, 1, 0.01] },
    ])
    expect(map.cells.length).toBe(9)
    expect(map.plans[map.cells[2]!]?.stages.map(({ resource }) => resource)).toEqual(['device'])
    // Across the presets there is no boundary to speak of.
    for (const { points } of map.boundaries)
      for (const [network] of points) expect([0, 1, 2]).toContain(network)
  })

  it('refuses axes that do not exist or contradict', () => {
    const rtt: SweepAxis = { vary: 'rttMs', links: [{ from: 'device', to: 'edge' }], values: [1] }
    expect(() => sweep(threeTiers(), FREE, [rtt, rtt])).toThrow('two of them set the rttMs of device → edge')
    expect(() => sweep(threeTiers(), FREE, [rtt, { vary: 'network', values: ['3g'] }])).toThrow('two of them')
    expect(() =>
      sweep(threeTiers(), FREE, [{ vary: 'rttMs', links: [{ from: 'edge', to: 'clod' }], values: [1] }]),
    ).toThrow('axes[0].links: unknown link "edge → clod"; did you mean edge → cloud?')
    expect(() => sweep(threeTiers(), FREE, [{ vary: 'slowdown', resources: ['x'], values: [1] }])).toThrow(
      'axes[0].resources: unknown resource "x"',
    )
    expect(() => sweep(threeTiers(), { ...FREE, pareto: ['latency', 'bytes'] }, [rtt])).toThrow(
      'pareto: a sweep compares single plans',
    )
  })
})

describe('every cell is what a full solve says', () => {
  const sizes = fc.integer({ min: 1, max: 9 })
  const axes = (problem: Problem, { mbps, cost, slowdown }: Numbers): fc.Arbitrary<SweepGrid> => {
    const list = <T>(value: fc.Arbitrary<T>) =>
      sizes.chain((size) => fc.array(value, { minLength: size, maxLength: size }))
    const links = fc.option(
      fc
        .subarray(
          problem.links.map(({ from, to }) => ({ from, to })),
          { minLength: Math.min(1, problem.links.length) },
        )
        .filter((some) => some.length > 0),
      { nil: undefined },
    )
    const chosen = problem.links.length > 0 ? links : fc.constant(undefined)
    const names = fc.subarray(
      problem.resources.map(({ name }) => name),
      { minLength: 1 },
    )
    return fc
      .tuple(
        fc.record({ vary: fc.constant('bandwidthMbps' as const), links: chosen, values: list(mbps) }),
        fc.record({ vary: fc.constant('rttMs' as const), links: chosen, values: list(cost) }),
        fc.record({ vary: fc.constant('slowdown' as const), resources: names, values: list(slowdown) }),
        fc.constantFrom([0], [1], [2], [0, 1], [0, 2], [1, 2], [2, 0, 1]),
      )
      .map(([bandwidth, rtt, slow, which]) => which.map((at) => [bandwidth, rtt, slow][at]!))
  }

  const check = (rich: boolean, numbers: Numbers, runs: number, seed: number) => {
    let cells = 0
    let solved = 0
    const cases = (rich ? richProblems(numbers) : problems(numbers)).chain((problem) =>
      fc.tuple(fc.constant(problem), rich ? richQueries(problem) : queries(problem), axes(problem, numbers)),
    )
    fc.assert(
      fc.property(cases, ([problem, query, grid]: [Problem, OptimiserQuery, SweepGrid]) => {
        fc.pre(isMeasured(problem, query))
        const map = sweep(problem, query, grid)
        cells += map.cells.length
        solved += map.solved
        const conditions = conditionsOf(problem, grid)
        map.cells.forEach((plan, cell) => {
          const there = conditions.at(conditions.coordinatesOf(cell))
          const best = solveBest(there, query)
          const value = map.values[cell]
          if (!best) {
            expect(plan).toBe(-1)
            return
          }
          const expected = best.value
          expect(Math.abs((value ?? NaN) - expected)).toBeLessThanOrEqual(1e-9 * expected)
          const again = reprice(there, query, { ...best.plan, id: map.plans[plan]!.id })
          expect(Math.abs(again.value - expected)).toBeLessThanOrEqual(1e-9 * expected)
          expect(again.latencyMs).toBeLessThanOrEqual(best.latencyMs * (1 + 1e-9))
        })
      }),
      { numRuns: runs, seed },
    )
    return { cells, solved }
  }

  it.each([
    ['plain problems, with numbers as they are measured', false, MEASURED, 70],
    ['plain problems, with numbers that tie', false, EXACT, 70],
    [
      'problems with codecs, options, energy and prices, with numbers as they are measured',
      true,
      MEASURED,
      200,
    ],
    ['problems with codecs, options, energy and prices, with numbers that tie', true, EXACT, 70],
  ] as const)('on random grids over %s', (_, rich, numbers, runs) => {
    const { cells, solved } = check(rich, numbers, runs, runs + Number(rich))
    expect(solved).toBeLessThan(cells)
  })
})

/** False if no resource can run the model, which a sweep refuses as a plan query does. */
function isMeasured(problem: Problem, query: OptimiserQuery): boolean {
  try {
    solveFirst(problem, query)
    return true
  } catch (error) {
    if (error instanceof ScissionError && error.code === 'notMeasured') return false
    throw error
  }
}
