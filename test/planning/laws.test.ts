/** Laws of the chain view for any problem: constraints never help, scaled problems have scaled plans. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { objectiveOf, optimise, type OptimiserQuery, type Problem } from '../../shared/planning/index.ts'
import type { Plan } from '../../shared/contracts/plan.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { runs } from '../support/runs.ts'
import type { TriedStage } from './brute-force.ts'
import { type Costs, costsOf } from './brute-force-costs.ts'
import { cases, richCases } from './chain-cases.ts'
import { described, isDroppable, queryOf } from './described.ts'
import { withoutQuotas } from './problems.ts'
import { scaled, scaledQuery } from './scaled.ts'

/** Bounded work, but the machine may be busy. */
const TIMEOUT_MS = runs(300_000, 1_200_000)

/** Value of the objective; Infinity if there is no plan. */
function bestOf(problem: Problem, query: OptimiserQuery): number {
  try {
    return objectiveOf(optimise(problem, query).plans[0]!, query)
  } catch (error) {
    if (error instanceof ScissionError && /infeasible|notMeasured/.test(error.code)) return Infinity
    throw error
  }
}

describe('laws', { timeout: TIMEOUT_MS }, () => {
  it('dropping any constraint never makes the best plan worse', () => {
    fc.assert(
      fc.property(cases, ({ problem, query }) => {
        const constraints = described(problem, query)
        const all = bestOf(problem, query)
        for (const one of constraints.filter((some) => isDroppable(some, constraints))) {
          const rest = constraints.filter((other) => other !== one)
          expect(bestOf(problem, queryOf(query, rest))).toBeLessThanOrEqual(all * (1 + 1e-12))
        }
      }),
      { numRuns: runs(80, 1000), seed: 3 },
    )
  })

  it('a problem whose times are all four times as long has the same plans, four times as long', () => {
    fc.assert(
      fc.property(cases, ({ problem, query: given }) => {
        const query = {
          ...given,
          objective: given.objective === 'weighted' ? ('energy' as const) : given.objective,
        }
        if (query.objective === 'energy' && !problem.figures) return
        const factor = query.objective === 'bytes' ? 1 : 4
        const once = bestOf(problem, query)
        expect(bestOf(scaled(problem, 4), scaledQuery(query, 4))).toBe(factor * once)
        if (once === Infinity) return
        const ids = (one: Problem, asked: OptimiserQuery) => optimise(one, asked).plans.map((plan) => plan.id)
        expect(ids(scaled(problem, 4), scaledQuery(query, 4))).toEqual(ids(problem, query))
      }),
      { numRuns: runs(150, 1000), seed: 4 },
    )
  })

  it('the sentence says that constraints rule out a native just when that one is better', () => {
    fc.assert(
      fc.property(cases, ({ problem, query }) => {
        if (bestOf(problem, query) === Infinity) return
        const { plans, native, why } = optimise(problem, query)
        const winner = plans[0]!
        expect(why).toContain(winner.stages[0]!.resource)
        const excluded = /constraints rule out (.*?)(;|$)/.exec(why)?.[1] ?? ''
        const cost = (plan: Plan) => objectiveOf(plan, query)
        for (const plan of native.filter((one) => cost(one) >= cost(winner)))
          expect(excluded).not.toMatch(new RegExp(`on ${plan.stages[0]!.resource} alone`))
        const onSource = native.find((plan) => plan.transfers.length === 0)
        if (onSource && cost(onSource) < cost(winner) * (1 - 1e-9))
          expect(excluded).toContain(`on ${onSource.stages[0]!.resource} alone`)
      }),
      { numRuns: runs(150, 1000), seed: 5 },
    )
  })

  it('a plan’s figures lie within their intervals, and at the upper ends with the confidence upper', () => {
    fc.assert(
      fc.property(richCases, ({ problem, query }) => {
        if (bestOf(problem, query) === Infinity) return
        for (const plan of optimise(problem, query).plans)
          for (const [value, low, high] of boundsIn(plan)) {
            expect(low).toBeLessThanOrEqual(value * (1 + 1e-12))
            expect(high).toBeGreaterThanOrEqual(value * (1 - 1e-12))
            if (query.confidence === 'upper') expect(high).toBe(value)
          }
      }),
      { numRuns: runs(100, 1000), seed: 7 },
    )
  })

  it('the bounds of a plan are the squares of what each machine and link adds at its own, or all at once if so asked', () => {
    fc.assert(
      fc.property(richCases, ({ problem: given, query }) => {
        // Searches suppose more stops of a quota than intervals do (quota-stops.test.ts).
        const problem = withoutQuotas(given)
        if (bestOf(problem, query) === Infinity) return
        const plan = optimise(problem, query).plans[0]!
        const stages = stagesOf(problem, plan)
        const costs = (one: Problem, confidence: 'median' | 'upper') =>
          costsOf(one, { ...queryOf(query, []), confidence, codecs: query.codecs }, stages)!
        const middle = costs(problem, 'median')
        const all = costs(problem, 'upper')
        const alone = movers(problem).map((one) => costs(one, 'upper'))
        const high = (pick: (one: Costs) => number) =>
          query.confidence === 'upper'
            ? pick(all)
            : pick(middle) + Math.sqrt(alone.reduce((sum, one) => sum + (pick(one) - pick(middle)) ** 2, 0))
        expect(plan.interval.highMs).toBeCloseTo(
          high(({ ms }) => ms),
          6,
        )
        expect(plan.intervals.bottleneckMs.high).toBeCloseTo(
          high(({ slowestMs }) => slowestMs),
          6,
        )
        if (plan.intervals.energyJ)
          expect(plan.intervals.energyJ.high).toBeCloseTo(
            high(({ energyJ }) => energyJ),
            6,
          )
        if (plan.intervals.price)
          expect(plan.intervals.price.high).toBeCloseTo(
            high(({ price }) => price),
            6,
          )
      }),
      { numRuns: runs(100, 1000), seed: 9 },
    )
  })

  it('a split is advised against just when its gain lies inside the uncertainty, whatever the objective', () => {
    const seen = { advised: new Set<string>(), not: new Set<string>() }
    fc.assert(
      fc.property(richCases, ({ problem, query }) => {
        if (bestOf(problem, query) === Infinity) return
        const { plans, why } = optimise(problem, query)
        const isAdvised = why.includes('do not split')
        expect(isAdvised, why).toBe(isInside(query, plans[0]!, bestNative(problem, query)))
        if (!plans[0]!.native) (isAdvised ? seen.advised : seen.not).add(query.objective)
      }),
      { numRuns: runs(400, 2000), seed: 10 },
    )
    expect([...seen.advised].sort()).toEqual(['energy', 'latency', 'price', 'throughput', 'weighted'])
    // Bytes are exact.
    expect(seen.not).toContain('bytes')
  })
})

/** The problem with only one resource uncertain, or one link: for each of them. */
function movers(problem: Problem): Problem[] {
  const { profiles, links, resources } = problem
  const surely = profiles.map((one) => ({ ...one, interval: undefined }))
  const certain = links.map((one) => ({ ...one, uncertainty: undefined, jitterMs: undefined }))
  return [
    ...resources.map(({ name }) => ({
      ...problem,
      links: certain,
      profiles: profiles.map((one, at) => (one.resource === name ? one : surely[at]!)),
    })),
    ...links.map((moved) => ({
      ...problem,
      profiles: surely,
      links: links.map((one, at) => (one === moved ? one : certain[at]!)),
    })),
  ]
}

function bestNative(problem: Problem, query: OptimiserQuery): Plan | undefined {
  if ((query.minStages ?? 1) > 1) return undefined
  const alone = { ...query, top: 1, maxStages: 1 }
  return bestOf(problem, alone) === Infinity ? undefined : optimise(problem, alone).plans[0]
}

/** Written out for each objective. */
function isInside(query: OptimiserQuery, winner: Plan, native: Plan | undefined): boolean {
  if (winner.native || !native) return false
  const gain = objectiveOf(native, query) - objectiveOf(winner, query)
  if (query.objective === 'latency') return gain < differenceMs(winner, native)
  const half = ({ interval, intervals: { bottleneckMs, energyJ, price } }: Plan) => {
    const latency = (interval.highMs - interval.lowMs) / 2
    const halves: Record<string, number> = {
      latency,
      throughput: (bottleneckMs.high - bottleneckMs.low) / 2,
      bytes: 0,
      energy: energyJ ? (energyJ.high - energyJ.low) / 2 : 0,
      price: price ? (price.high - price.low) / 2 : 0,
    }
    if (query.objective !== 'weighted') return halves[query.objective]!
    return Object.entries(query.weights ?? {}).reduce(
      (sum, [name, weight]) => sum + weight * halves[name]!,
      0,
    )
  }
  const uncertain = Math.sqrt(half(winner) ** 2 + half(native) ** 2)
  return gain < uncertain
}

/** What moves both plans moves their difference by the difference of what it adds to each. */
function differenceMs(a: Plan, b: Plan): number {
  const added = new Map<string, number>()
  for (const { what, typicalMs } of a.moves) added.set(what, typicalMs)
  for (const { what, typicalMs } of b.moves) added.set(what, (added.get(what) ?? 0) - typicalMs)
  return Math.sqrt([...added.values()].reduce((sum, value) => sum + value ** 2, 0))
}

/** Each figure that is made of times, with its bounds. */
function boundsIn(plan: Plan): [value: number, low: number, high: number][] {
  const { interval, intervals } = plan
  return [
    [plan.predictedMs, interval.lowMs, interval.highMs],
    [plan.bottleneckMs, intervals.bottleneckMs.low, intervals.bottleneckMs.high],
    ...(intervals.energyJ
      ? [[plan.energyJ!, intervals.energyJ.low, intervals.energyJ.high] as [number, number, number]]
      : []),
    ...(intervals.price
      ? [[plan.price!, intervals.price.low, intervals.price.high] as [number, number, number]]
      : []),
  ]
}

function stagesOf(problem: Problem, { stages, transfers }: Plan): TriedStage[] {
  return stages.map(({ resource, from, to, options }) => {
    const own = problem.resources.find(({ name }) => name === resource)?.options
    const first = problem.profiles.find((profile) => profile.resource === resource)?.options
    const named = options ?? own ?? first
    const codec = transfers.find((transfer) => transfer.to === resource)?.codec ?? 'none'
    return { resource, from, to, codec, options: named ? `${named.threads}-${named.optimisation}` : '' }
  })
}
