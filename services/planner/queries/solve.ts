/** The pure part of answering: from a problem and a query to plans or a map. Runs on the main thread or a worker thread. */
import type { PlanQuery } from '../../../shared/contracts/plan.ts'
import type { SensitivityChange, Sweep, SweepGrid } from '../../../shared/contracts/plan-sweep.ts'
import {
  type GraphOptimum,
  type GraphProblem,
  optimise,
  optimiseGraph,
  type Optimum,
  sensitivityOf,
  sweep,
} from '../../../shared/planning/index.ts'
import { withPreset } from './what-if.ts'

/** Contains the whole structure of the model, so that both views can plan with it. */
export type PlanningProblem = GraphProblem

export type Work =
  | { kind: 'chain'; problem: PlanningProblem; query: PlanQuery }
  | { kind: 'graph'; problem: PlanningProblem; query: PlanQuery }
  | { kind: 'sweep'; problem: PlanningProblem; query: PlanQuery; axes: SweepGrid }

export interface Solutions {
  chain: Optimum & { sensitivity?: SensitivityChange[] }
  graph: GraphOptimum
  sweep: Sweep
}

/** Default time limit in ms of a question in the chain view. Most Pareto fronts need less than a tenth of it. */
const CHAIN_LIMIT_MS = 30_000

/** @param now returns the time in ms. @throws ScissionError as the optimiser does. */
export function solve(work: Work, now = () => performance.now()): Solutions[Work['kind']] {
  if (work.kind === 'graph') return optimiseGraph(work.problem, work.query, now)
  if (work.kind === 'sweep') return sweep(work.problem, work.query, work.axes, { withPreset })
  const query = { ...work.query, timeLimitMs: work.query.timeLimitMs ?? CHAIN_LIMIT_MS }
  const optimum = optimise(work.problem, query, now)
  if (!query.sensitivity) return optimum
  return { ...optimum, sensitivity: sensitivityOf(work.problem, query, optimum) }
}

class OutOfTime extends Error {}

/**
 * Solves within a time limit. It gives up at the optimiser's first look at the clock after the limit, so a result that the
 * limit cut short is never mistaken for an answer.
 * @param ms the limit. @returns undefined if solving takes longer. @throws ScissionError as the optimiser does.
 */
export function solveWithin(
  ms: number,
  work: Work,
  now = () => performance.now(),
): Solutions[Work['kind']] | undefined {
  const end = now() + ms
  const clock = () => {
    const time = now()
    if (time >= end) throw new OutOfTime()
    return time
  }
  try {
    return solve(work, clock)
  } catch (error) {
    if (error instanceof OutOfTime) return undefined
    throw error
  }
}

/** Plans of the chain view take milliseconds; fronts, the graph view, maps and sensitivity may take seconds. */
export function isLong(work: Work): boolean {
  return work.kind !== 'chain' || work.query.pareto !== undefined || work.query.sensitivity === true
}
