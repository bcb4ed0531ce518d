/** The graph view checked by trying every placement, for queries that one cut per route settles. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../support/runs.ts'
import { tryAllPlacements } from './graph-brute-force.ts'
import { MEASURED, WHOLE } from './graph-cases.ts'
import { cases, costOf, expectClose, expectTheBest, solve, SUMS } from './graph-solve.ts'

const TIMEOUT_MS = runs(120_000, 1_200_000)

describe('the graph view', { timeout: TIMEOUT_MS }, () => {
  it.each([
    ['small whole numbers', WHOLE, runs(400, 2000), 11],
    ['numbers as they are measured', MEASURED, runs(200, 2000), 12],
  ] as const)('finds the best of all placements, with %s', (_, numbers, numRuns, seed) => {
    const seen = { plans: 0, parallel: 0, none: 0 }
    fc.assert(
      fc.property(cases(numbers, { budgets: 0, objectives: SUMS }, 5), ({ problem, query }) => {
        const expected = tryAllPlacements(problem, query)
        const found = solve(problem, query)
        if (expected === undefined) {
          seen.none += 1
          expect(found).toBe(undefined)
          return
        }
        seen.plans += 1
        expect(found?.gap).toBe(0)
        expectClose(costOf(query, found!), expected.value)
        expectTheBest(problem, query, found!)
        if (!found!.plans[0]!.deployable) seen.parallel += 1
      }),
      { numRuns, seed },
    )
    expect(seen.plans).toBeGreaterThan(numRuns / 2)
    expect(seen.none).toBeGreaterThan(numRuns / 50)
    expect(seen.parallel).toBeGreaterThan(numRuns / 100)
  })
})
