/** Sensitivity: the first value of a condition at which another plan is as good as the winner. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SensitivityChange } from '../../shared/contracts/plan-sweep.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import {
  optimise,
  type OptimiserQuery,
  type Optimum,
  type Problem,
  sensitivityOf,
} from '../../shared/planning/index.ts'
import { conditionsAround } from '../../shared/planning/sweep/sensitivity.ts'
import { reprice, solveBest } from '../../shared/planning/sweep/resolve.ts'
import { FREE, MEASURED, problems, queries, threeTiers } from './problems.ts'
import { richProblems, richQueries } from './rich-problems.ts'

const text = ({ what, link, resource, direction, at, planId }: SensitivityChange) =>
  `${what} of ${link ? `${link.from}>${link.to}` : resource} ${direction}: ` +
  `${Number(at.toPrecision(12))}, ${planId?.split('.').slice(3).join(' ') ?? 'no plan'}`

describe('by hand', () => {
  it('says what would take over from the edge, and where', () => {
    const problem = threeTiers()
    const optimum = optimise(problem, FREE)
    // Edge [0,1), cloud [1,4): 4 + 4 ms, 5 ms, 2 + 0.8 ms, 3 ms. Cloud alone 34 ms, edge alone 28 ms, device alone 40 ms.
    expect(optimum.plans[0]?.predictedMs).toBeCloseTo(18.8, 12)
    const changes = sensitivityOf(problem, FREE, optimum)
    expect(changes.map(text)).toEqual([
      // 14.8 + 4/x = 34
      'bandwidth of device>edge lower: 0.208333333333, cloud_0-4',
      'rtt of device>edge higher: 19.2, cloud_0-4',
      // 18 + 8/x = 22 + 1/x, with the cut at 2
      'bandwidth of edge>cloud lower: 1.75, edge_0-2 cloud_2-4',
      'rtt of edge>cloud higher: 11.2, edge_0-4',
      // 13.8 + 5x = 8 + 20x, and = 34
      'slowdown of edge lower: 0.386666666667, edge_0-4',
      'slowdown of edge higher: 4.04, cloud_0-4',
      'slowdown of cloud higher: 4.06666666667, edge_0-4',
      // 14 + 4/x = 18.8
      'bandwidth of device>cloud higher: 0.833333333333, cloud_0-4',
      'slowdown of device lower: 0.47, device_0-4',
    ])
    expect(changes.every(({ exact }) => exact)).toBe(true)
  })

  it('says when a limit on latency leaves no plan', () => {
    const problem = threeTiers()
    const query = { ...FREE, maxLatencyMs: 20, mustNotUseTiers: ['device'] }
    const changes = sensitivityOf(problem, query, optimise(problem, query))
    const slower = changes.find(
      ({ what, link, direction }) => what === 'rtt' && link?.to === 'edge' && direction === 'higher',
    )
    expect(slower?.planId).toBeNull()
    expect(slower?.resources).toEqual([])
  })

  it('has nothing to say of a front', () => {
    const query: OptimiserQuery = { ...FREE, pareto: ['latency', 'bytes'] }
    expect(sensitivityOf(threeTiers(), query, optimise(threeTiers(), query))).toEqual([])
  })
})

/** The plan query's answer; undefined when there is none. */
function solve(problem: Problem, query: OptimiserQuery): Optimum | undefined {
  try {
    return optimise(problem, query)
  } catch (error) {
    if (error instanceof ScissionError && ['infeasible', 'notMeasured'].includes(error.code)) return undefined
    throw error
  }
}

describe('on random problems', () => {
  const check = (problem: Problem, query: OptimiserQuery, shares: readonly number[]): number => {
    const optimum = solve(problem, query)
    const winner = optimum?.plans[0]
    if (!optimum || !winner) return 0
    const changes = sensitivityOf(problem, query, optimum)
    for (const condition of conditionsAround(problem, winner, 100))
      for (const direction of ['lower', 'higher'] as const) {
        const change = changes.find(
          (one) =>
            one.what === condition.what &&
            one.direction === direction &&
            one.resource === condition.resource &&
            one.link?.from === condition.link?.from &&
            one.link?.to === condition.link?.to,
        )
        checkSide(query, winner, condition, direction, change, shares)
      }
    return changes.length
  }

  type Condition = ReturnType<typeof conditionsAround>[number]
  const checkSide = (
    query: OptimiserQuery,
    winner: Optimum['plans'][number],
    condition: Condition,
    direction: 'lower' | 'higher',
    change: SensitivityChange | undefined,
    shares: readonly number[],
  ) => {
    const up = (direction === 'higher') !== (condition.what === 'bandwidth')
    const end = up ? condition.range[1] : condition.range[0]
    const toCoordinate = (value: number) => (condition.what === 'bandwidth' ? condition.now / value : value)
    const until = change ? toCoordinate(change.at) : end
    const wins = (at: number) => {
      const there = condition.at(at)
      const best = solveBest(there, query)
      if (!best) return false
      const { value } = reprice(there, query, winner)
      return Math.abs(value - best.value) <= 1e-9 * Math.max(value, best.value)
    }
    // Up to the change the winner stays.
    for (const share of shares)
      expect(wins(condition.coordinate + share * 0.999 * (until - condition.coordinate))).toBe(true)
    if (!change) return
    expect(Math.sign(change.at - change.from) * (direction === 'higher' ? 1 : -1)).toBeGreaterThanOrEqual(0)
    const beyond = until + 0.01 * (end - until)
    if (change.planId !== null && change.exact && Math.abs(end - until) > 1e-6 * Math.abs(end)) {
      const rival = solveBest(condition.at(beyond), query)
      const lost = reprice(condition.at(beyond), query, winner).value
      expect(rival!.value).toBeLessThan(lost)
      const named = reprice(condition.at(until), query, { ...winner, id: change.planId }).value
      expect(named).toBeCloseTo(reprice(condition.at(until), query, winner).value, 6)
    }
  }

  it('the winner stays up to the change and loses beyond it', () => {
    let changes = 0
    const cases = problems(MEASURED, 5).chain((problem) =>
      fc.tuple(
        fc.constant(problem),
        queries(problem),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 2, maxLength: 2 }),
      ),
    )
    fc.assert(
      fc.property(cases, ([problem, query, shares]: [Problem, OptimiserQuery, number[]]) => {
        const { maxTierMs: _, minThroughput: __, ...linear } = query
        changes += check(problem, { ...linear, objective: 'latency' }, shares)
      }),
      { numRuns: 50, seed: 5 },
    )
    expect(changes).toBeGreaterThan(20)
  })

  it('so it does with codecs, options, energy and prices', () => {
    let changes = 0
    const cases = richProblems(MEASURED).chain((problem) =>
      fc.tuple(
        fc.constant(problem),
        richQueries(problem),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 2, maxLength: 2 }),
      ),
    )
    fc.assert(
      fc.property(cases, ([problem, query, shares]: [Problem, OptimiserQuery, number[]]) => {
        const {
          maxTierMs: _,
          minThroughput: __,
          maxEnergyJ: ___,
          maxPrice: ____,
          maxTierShare: _____,
          maxLatencyMs: ______,
          ...linear
        } = query
        const objective =
          query.objective === 'throughput' || query.objective === 'weighted' ? 'energy' : query.objective
        changes += check(problem, { ...linear, objective }, shares)
      }),
      { numRuns: 50, seed: 6 },
    )
    expect(changes).toBeGreaterThan(20)
  })

  it('says of throughput and under limits what was found by halving, and that it is not exact', () => {
    let changes = 0
    const cases = problems(MEASURED, 5).chain((problem) => fc.tuple(fc.constant(problem), queries(problem)))
    fc.assert(
      fc.property(cases, ([problem, given]: [Problem, OptimiserQuery]) => {
        const query: OptimiserQuery = { ...given, objective: 'throughput' }
        const optimum = solve(problem, query)
        if (!optimum) return
        for (const change of sensitivityOf(problem, query, optimum)) {
          changes += 1
          expect(change.exact).toBe(false)
          const condition = conditionsAround(problem, optimum.plans[0]!, 100).find(
            ({ what, resource, link }) =>
              what === change.what &&
              resource === change.resource &&
              link?.from === change.link?.from &&
              link?.to === change.link?.to,
          )!
          const at = change.what === 'bandwidth' ? condition.now / change.at : change.at
          const winnerAt = (coordinate: number) => solveBest(condition.at(coordinate), query)?.plan.id
          expect(winnerAt(at)).toBe(change.planId ?? undefined)
          expect(winnerAt(at)).not.toBe(optimum.plans[0]!.id)
        }
      }),
      { numRuns: 40, seed: 7 },
    )
    expect(changes).toBeGreaterThan(10)
  })
})
