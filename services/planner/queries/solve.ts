/** The pure part of answering: a problem and a query in, plans or a map out. Runs in the process or in its thread. */
import type { PlanQuery } from '../../../shared/contracts/plan.ts'
import type { SensitivityChange, Sweep, SweepGrid } from '../../../shared/contracts/plan-sweep.ts'
import { type GraphOptimum, type GraphProblem, optimiseGraph } from '../optimiser/graph-view.ts'
import { type Optimum, optimise } from '../optimiser/index.ts'
import { sensitivityOf } from '../optimiser/sensitivity.ts'
import { sweep } from '../optimiser/sweep.ts'
import { withPreset } from './what-if.ts'

/** A gathered problem has the whole structure, so both views can plan with it. */
export type GatheredProblem = GraphProblem

export type Work =
  | { kind: 'chain'; problem: GatheredProblem; query: PlanQuery }
  | { kind: 'graph'; problem: GatheredProblem; query: PlanQuery }
  | { kind: 'sweep'; problem: GatheredProblem; query: PlanQuery; axes: SweepGrid }

export interface Solutions {
  chain: Optimum & { sensitivity?: SensitivityChange[] }
  graph: GraphOptimum
  sweep: Sweep
}

/** ms that a question in the chain view may take when it says nothing itself: few fronts need a tenth of it. */
export const CHAIN_LIMIT_MS = 30_000

/** @param now milliseconds. @throws ScissionError as the optimiser does. */
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
 * Gives up where the optimiser looks at the clock the first time after so long: nothing that it would have cut short
 * is taken for an answer.
 * @returns undefined when it takes longer. @throws ScissionError as the optimiser does.
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

/** Plans of a chain take milliseconds; fronts, graphs, maps and what-would-change may take seconds. */
export function isLong(work: Work): boolean {
  return work.kind !== 'chain' || work.query.pareto !== undefined || work.query.sensitivity === true
}
