/** The graph view checked by trying every placement, for queries that one cut per route settles. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../support/runs.ts'
import { cases, costOf, expectClose, expectTheBest, solvedAndTried, SUMS } from './graph-solve.ts'
import { EXACT, MEASURED } from './problems.ts'

const TIMEOUT_MS = runs(120_000, 1_200_000)

describe('the graph view', { timeout: TIMEOUT_MS }, () => {
  it.each([
    ['small whole numbers', EXACT, runs(400, 2000), 11],
    ['numbers as they are measured', MEASURED, runs(200, 2000), 15],
  ] as const)('finds the best of all placements, with %s', (_, numbers, numRuns, seed) => {
    const seen = { plans: 0, parallel: 0, none: 0 }
    fc.assert(
      fc.property(cases(numbers, { budgets: 0, objectives: SUMS }, 5), ({ problem, query }) => {
        const both = solvedAndTried(problem, query)
        seen[both ? 'plans' : 'none'] += 1
        if (!both) return
        const { found, expected } = both
        expect(found.gap).toBe(0)
        expectClose(costOf(query, found), expected)
        expectTheBest(problem, query, found)
        if (!found.plans[0]!.deployable) seen.parallel += 1
      }),
      { numRuns, seed },
    )
    expect(seen.plans).toBeGreaterThan(numRuns / 2)
    expect(seen.none).toBeGreaterThan(numRuns / 50)
    expect(seen.parallel).toBeGreaterThan(numRuns / 100)
  })
})
