/** Laws of the graph view for any problem: constraints never help, scales carry over, no chain plan is better. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type GraphProblem, type OptimiserQuery, objectiveOf, optimise } from '../../shared/planning/index.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { runs } from '../support/runs.ts'
import { described, queryOf } from './described.ts'
import { cases, costOf, solve, SUMS } from './graph-solve.ts'
import { EXACT, MEASURED } from './problems.ts'
import { scaled, scaledQuery } from './scaled.ts'

const TIMEOUT_MS = runs(120_000, 1_200_000)
const CASES = cases(EXACT, { budgets: 8, objectives: SUMS }, 4)

/** Value of the objective; Infinity if there is no plan. */
function bestOf(problem: GraphProblem, query: OptimiserQuery): number {
  const found = solve(problem, query)
  expect(found?.gap ?? 0).toBe(0)
  return found ? costOf(query, found) : Infinity
}

describe('laws of the graph view', { timeout: TIMEOUT_MS }, () => {
  it('dropping any constraint never makes the best plan worse', () => {
    fc.assert(
      fc.property(CASES, ({ problem, query }) => {
        const constraints = described(problem, query)
        const all = bestOf(problem, query)
        for (const one of constraints) {
          const rest = constraints.filter((other) => other !== one)
          expect(bestOf(problem, queryOf(query, rest)), one).toBeLessThanOrEqual(all * (1 + 1e-9))
        }
      }),
      { numRuns: runs(100, 1000), seed: 31 },
    )
  })

  it('a problem whose times are all four times as long has a best plan four times as long', () => {
    fc.assert(
      fc.property(CASES, ({ problem, query: given }) => {
        const objective = given.objective === 'weighted' ? ('energy' as const) : given.objective
        const query = { ...given, objective }
        const factor = objective === 'bytes' ? 1 : 4
        const once = bestOf(problem, query)
        const then = bestOf(scaled(problem, 4), scaledQuery(query, 4))
        if (once === Infinity) expect(then).toBe(Infinity)
        else expect(Math.abs(then - factor * once)).toBeLessThanOrEqual(1e-9 * factor * once)
      }),
      { numRuns: runs(150, 1000), seed: 32 },
    )
  })

  it('no chain plan is better, with numbers as they are measured', () => {
    let compared = 0
    fc.assert(
      fc.property(cases(MEASURED, { budgets: 0, objectives: SUMS }, 6), ({ problem, query }) => {
        const best = bestOf(problem, query)
        try {
          const [chain] = optimise(problem, query).plans
          expect(best).toBeLessThanOrEqual(objectiveOf(chain!, query) * (1 + 1e-9))
          compared += 1
        } catch (error) {
          // The graph may have a plan if the chain has none.
          if (!(error instanceof ScissionError && /infeasible|notMeasured/.test(error.code))) throw error
        }
      }),
      { numRuns: runs(150, 1000), seed: 33 },
    )
    expect(compared).toBeGreaterThan(50)
  })
})
