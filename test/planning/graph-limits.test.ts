/** The graph view against trying every placement, with limits on sums. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { GraphProblem, OptimiserQuery } from '../../shared/planning/index.ts'
import { runs } from '../support/runs.ts'
import { GRAPH_KINDS } from './described.ts'
import { bestBySet } from './graph-brute-force.ts'
import { graphProblems } from './graph-cases.ts'
import { cases, costOf, expectClose, expectTheBest, solvedAndTried, SUMS } from './graph-solve.ts'
import { EXACT } from './problems.ts'

const LATENCY = { objective: 'latency', top: 1, cuts: 'any' } as const

const TIMEOUT_MS = runs(120_000, 1_200_000)

/** Per constraint kind, cases in which it must exclude plans that the others allow. */
const BINDING = 3

describe('the graph view with limits', { timeout: TIMEOUT_MS }, () => {
  it('keeps limits on sums, is never better than the best that does, and claims no gap too small', () => {
    const seen = { plans: 0, none: 0, gaps: 0 }
    const binding = Object.fromEntries(GRAPH_KINDS.map((kind) => [kind, 0])) as Record<string, number>
    const numRuns = runs(500, 2000)
    fc.assert(
      fc.property(cases(EXACT, { budgets: 8, objectives: SUMS }, 4), ({ problem, query }) => {
        const both = solvedAndTried(problem, query)
        seen[both ? 'plans' : 'none'] += 1
        if (!both) return
        const { found, expected } = both
        const cost = costOf(query, found)
        expect(cost).toBeGreaterThanOrEqual(expected * (1 - 1e-9))
        expect(cost * (1 - found.gap)).toBeLessThanOrEqual(expected * (1 + 1e-9))
        if (found.gap > 0) seen.gaps += 1
        else expectTheBest(problem, query, found)
        const kept = setsText(problem, query)
        for (const kind of GRAPH_KINDS)
          if (query[kind] !== undefined && binding[kind]! < BINDING)
            if (setsText(problem, { ...query, [kind]: undefined }) !== kept) binding[kind]! += 1
      }),
      { numRuns, seed: 14 },
    )
    expect(seen.plans).toBeGreaterThan(numRuns / 3)
    expect(seen.none).toBeGreaterThan(numRuns / 20)
    expect(seen.gaps).toBe(0)
    for (const kind of GRAPH_KINDS) expect(binding[kind], `cases where ${kind} excludes plans`).toBe(BINDING)
  })

  it('finds the best placement that fits in memory, or proves that none does, within its steps', () => {
    const memory = (names: readonly string[]) =>
      fc.dictionary(fc.constantFrom(...names), fc.integer({ min: 0, max: 40 }), { minKeys: 1 })
    const limited = graphProblems(EXACT, 5).chain((problem) =>
      memory(problem.resources.map(({ name }) => name)).map((maxMemoryBytes) => ({
        problem,
        query: { ...LATENCY, source: problem.resources[0]!.name, maxMemoryBytes },
      })),
    )
    const seen = { plans: 0, none: 0 }
    const numRuns = runs(150, 2000)
    fc.assert(
      fc.property(limited, ({ problem, query }) => {
        const both = solvedAndTried(problem, query)
        seen[both ? 'plans' : 'none'] += 1
        if (!both) return
        expect(both.found.gap).toBe(0)
        expectClose(costOf(query, both.found), both.expected)
      }),
      // Case 109 was not settled while the cuts of one domain were taken for those of another.
      { numRuns, seed: 8 },
    )
    expect(seen.plans).toBeGreaterThan(numRuns / 3)
    expect(seen.none).toBeGreaterThan(numRuns / 20)
  })
})

/** Values of the best plans, by the runners that they use. */
function setsText(problem: GraphProblem, query: OptimiserQuery): string {
  return [...bestBySet(problem, query)].map(([set, value]) => `${set}: ${value}`).join('; ')
}
