/** The graph view asked, and its answer as one number, for tests that hold it beside trying every placement. */
import type { Arbitrary } from 'fast-check'
import {
  type GraphOptimum,
  type GraphProblem,
  type GraphQuery,
  optimiseGraph,
} from '../../../services/planner/optimiser/graph-view.ts'
import { ScissionError } from '../../../shared/errors.ts'
import { type GraphNumbers, graphProblems, graphQueries, type Odds } from './graph-cases.ts'

/** Undefined when there is no plan. */
export function solve(problem: GraphProblem, query: GraphQuery): GraphOptimum | undefined {
  try {
    return optimiseGraph(problem, query)
  } catch (error) {
    if (error instanceof ScissionError && /infeasible|notMeasured/.test(error.code)) return undefined
    throw error
  }
}

/** Of the objective. */
export function costOf(query: GraphQuery, { plans }: GraphOptimum): number {
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

export function cases(
  numbers: GraphNumbers,
  odds: Odds,
  mostLayers: number,
): Arbitrary<{ problem: GraphProblem; query: GraphQuery }> {
  return graphProblems(numbers, mostLayers).chain((problem) =>
    graphQueries(problem, odds).map((query) => ({ problem, query })),
  )
}

export const SUMS = ['latency', 'latency', 'bytes', 'energy', 'price', 'weighted'] as const
