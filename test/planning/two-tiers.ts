/** A device and a cloud of which costs are computed by hand, and what a query finds on them. */
import { optimise, type OptimiserQuery, type Problem } from '../../shared/planning/index.ts'
import type { Plan } from '../../shared/contracts/plan.ts'
import { FREE, problemOf } from './problems.ts'

export const shape = (plan: Plan | undefined) =>
  plan?.stages.map(({ resource, from, to }) => `${resource} ${from}-${to}`).join(' ')

export function solve(problem: Problem, query: Partial<OptimiserQuery> = {}) {
  return optimise(problem, { ...FREE, ...query })
}

/** Device 40 ms; cloud 4 ms behind 2 ms and 1000 bytes at 125 bytes/ms for the input, fewer later. */
export function twoTiers(change: Partial<Problem> = {}): Problem {
  const problem = problemOf(
    [{ bytes: 10_000 }, { bytes: 4000 }, { bytes: 4000 }, { bytes: 0 }],
    {
      device: { tier: 'device', tierIndex: 0, layerMs: [1, 10, 29] },
      cloud: { tier: 'cloud', tierIndex: 1, layerMs: [1, 1, 2] },
    },
    { 'device>cloud': { rttMs: 2, mbps: 1, returnMbps: 1 } },
  )
  return { ...problem, ...change }
}
