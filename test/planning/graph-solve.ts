/** The graph view asked, and its answer as one number, for tests that hold it beside trying every placement. */
import type { Arbitrary } from 'fast-check'
import {
  type GraphOptimum,
  type GraphProblem,
  type OptimiserQuery,
  optimiseGraph,
} from '../../shared/planning/index.ts'
import { expect } from 'vitest'
import { ScissionError } from '../../shared/platform/errors.ts'
import { bestBySet, tryAllPlacements, tryStages } from './graph-brute-force.ts'
import { graphProblems, graphQueries, type Odds } from './graph-cases.ts'
import type { Numbers } from './problems.ts'

/** Undefined when there is no plan. */
export function solve(problem: GraphProblem, query: OptimiserQuery): GraphOptimum | undefined {
  try {
    return optimiseGraph(problem, query)
  } catch (error) {
    if (error instanceof ScissionError && /infeasible|notMeasured/.test(error.code)) return undefined
    throw error
  }
}

/**
 * The answer of the graph view beside the value of the best of all placements.
 * @returns undefined if neither finds a plan; one without the other fails the test.
 */
export function solvedAndTried(
  problem: GraphProblem,
  query: OptimiserQuery,
): { found: GraphOptimum; expected: number } | undefined {
  const expected = tryAllPlacements(problem, query)
  const found = solve(problem, query)
  expect(found !== undefined, 'the graph view finds a plan').toBe(expected !== undefined)
  return found && expected !== undefined ? { found, expected } : undefined
}

/** Value of the objective. */
export function costOf(query: OptimiserQuery, { plans }: Pick<GraphOptimum, 'plans'>): number {
  const plan = plans[0]!
  const costs = {
    latency: plan.predictedMs,
    throughput: plan.bottleneckMs,
    bytes: plan.bytes,
    energy: plan.energyJ ?? 0,
    price: plan.price ?? 0,
  }
  if (query.objective !== 'weighted') return costs[query.objective]
  const weights = query.weights!
  return (Object.keys(costs) as (keyof typeof costs)[]).reduce(
    (sum, name) => sum + (weights[name] ?? 0) * costs[name],
    0,
  )
}

/**
 * Each plan of the list keeps all constraints, has the cost that it states and is the best that uses its runners. The list
 * is in order, with one plan per set of runners (without those of the source), and no better set is missing.
 */
export function expectTheBest(problem: GraphProblem, query: OptimiserQuery, { plans }: GraphOptimum): void {
  const best = bestBySet(problem, query)
  const withoutSource = (set: string) =>
    set
      .split(', ')
      .filter((runner) => runner.replace(/ \S+$/, '') !== query.source)
      .join(', ')
  const listed = plans.map((plan) => {
    const tried = tryStages(problem, query, plan.stages)
    expect(tried, 'a plan that breaks no constraint').toBeDefined()
    expectClose(costOf(query, { plans: [plan] }), tried!.value)
    expectClose(tried!.value, best.get(tried!.set)!)
    return tried!
  })
  expect(listed.length).toBeLessThanOrEqual(query.top)
  expect(new Set(listed.map(({ set }) => set)).size).toBe(listed.length)
  for (const [at, { value }] of listed.entries())
    if (at > 0) expect(value).toBeGreaterThanOrEqual(listed[at - 1]!.value * (1 - 1e-9))
  const sets = new Set(listed.map(({ set }) => withoutSource(set)))
  const last = listed.length < query.top ? Infinity : listed.at(-1)!.value
  for (const [set, value] of best)
    if (value < last * (1 - 1e-9)) expect(sets, `${set} at ${value}`).toContain(withoutSource(set))
}

export function expectClose(found: number, expected: number): void {
  expect(Math.abs(found - expected)).toBeLessThanOrEqual(1e-9 * Math.max(1e-6, Math.abs(expected)))
}

export function cases(
  numbers: Numbers,
  odds: Odds,
  mostLayers: number,
): Arbitrary<{ problem: GraphProblem; query: OptimiserQuery }> {
  return graphProblems(numbers, mostLayers).chain((problem) =>
    graphQueries(problem, odds).map((query) => ({ problem, query })),
  )
}

export const SUMS = ['latency', 'latency', 'bytes', 'energy', 'price', 'weighted'] as const
