/** The graph view against trying every placement, with limits on sums. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { tryAllPlacements } from './graph-brute-force.ts'
import { WHOLE } from './graph-cases.ts'
import { cases, costOf, solve, SUMS } from './graph-solve.ts'

const TIMEOUT_MS = 120_000

describe('the graph view with limits', { timeout: TIMEOUT_MS }, () => {
  it('keeps limits on sums, is never better than the best that does, and claims no gap too small', () => {
    const seen = { plans: 0, none: 0, gaps: 0 }
    const numRuns = 500
    fc.assert(
      fc.property(cases(WHOLE, { budgets: 8, objectives: SUMS }, 4), ({ problem, query }) => {
        const expected = tryAllPlacements(problem, query)
        const found = solve(problem, query)
        if (expected === undefined) {
          seen.none += 1
          expect(found).toBe(undefined)
          return
        }
        seen.plans += 1
        const cost = costOf(query, found!)
        expect(cost).toBeGreaterThanOrEqual(expected.value * (1 - 1e-9))
        expect(cost * (1 - found!.gap)).toBeLessThanOrEqual(expected.value * (1 + 1e-9))
        if (found!.gap > 0) seen.gaps += 1
      }),
      { numRuns, seed: 13 },
    )
    expect(seen.plans).toBeGreaterThan(numRuns / 3)
    expect(seen.none).toBeGreaterThan(numRuns / 20)
    expect(seen.gaps).toBe(0)
  })
})
