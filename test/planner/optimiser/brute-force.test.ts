/** The optimiser against trying every plan: 2,500 arbitrary cases, every constraint kind and conjunctions of them. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { optimise, type OptimiserQuery, type Problem } from '../../../services/planner/optimiser/index.ts'
import { coerceError, ScissionError } from '../../../shared/errors.ts'
import { tryAll } from './brute-force.ts'
import { EXACT, MEASURED, type Numbers, problems, queries } from './problems.ts'

const RUNS = 1500

/** Bounded work, but the machine may be busy. */
const TIMEOUT_MS = 120_000

/** Of each constraint kind, in so many cases it must exclude plans that the others allow. */
const BINDING = 10

const KINDS = [
  'mustUseTiers',
  'mustNotUseTiers',
  'mustUseResources',
  'mustNotUseResources',
  'firstLayersOnDevice',
  'mustRunLayers',
  'mustNotRunLayers',
  'maxTierMs',
  'maxUploadBytes',
  'maxMemoryBytes',
  'maxLatencyMs',
  'minThroughput',
  'minStages',
  'maxStages',
] as const satisfies readonly (keyof OptimiserQuery)[]

function cases(numbers: Numbers): fc.Arbitrary<{ problem: Problem; query: OptimiserQuery }> {
  return problems(numbers).chain((problem) => queries(problem).map((query) => ({ problem, query })))
}

/** The answer, or the error when there is none. */
function answer(problem: Problem, query: OptimiserQuery) {
  try {
    return optimise(problem, query)
  } catch (thrown) {
    return coerceError(thrown)
  }
}

describe('against trying every plan', () => {
  it('finds the same plans in the same order, ties included, and counts them all', {
    timeout: TIMEOUT_MS,
  }, () => {
    const binding = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<
      (typeof KINDS)[number],
      number
    >
    const seen = { feasible: 0, infeasible: 0, plans: 0 }
    fc.assert(
      fc.property(cases(EXACT), ({ problem, query }) => {
        const expected = tryAll(problem, query)
        const found = answer(problem, query)
        if (found instanceof Error) {
          seen.infeasible += 1
          expect(found).toBeInstanceOf(ScissionError)
          expect(found).toHaveProperty('code', expect.stringMatching(/^(infeasible|notMeasured)$/))
          expect(expected).toEqual([])
          return
        }
        seen.feasible += 1
        for (const kind of KINDS.filter((one) => query[one] !== undefined && binding[one] < BINDING))
          if (tryAll(problem, { ...query, [kind]: undefined }).length > expected.length) binding[kind] += 1
        seen.plans += expected.length
        if (query.maxLatencyMs === undefined) expect(found.considered).toBe(expected.length)
        else expect(found.considered).toBeGreaterThanOrEqual(expected.length)
        expect(
          found.plans.map(({ stages, predictedMs, bottleneckMs }) => ({
            stages: stages.map(({ resource, from, to }) => ({ resource, from, to })),
            ms: predictedMs,
            slowestMs: bottleneckMs,
          })),
        ).toEqual(expected.slice(0, query.top))
      }),
      { numRuns: RUNS, seed: 1 },
    )
    // The cases are worth something only when both outcomes are common.
    expect(seen.feasible).toBeGreaterThan(RUNS / 4)
    expect(seen.infeasible).toBeGreaterThan(RUNS / 10)
    expect(seen.plans / seen.feasible).toBeGreaterThan(10)
    for (const kind of KINDS) expect(binding[kind], `cases where ${kind} excludes plans`).toBe(BINDING)
  })

  it('finds the same latencies and throughputs with numbers as they are measured', {
    timeout: TIMEOUT_MS,
  }, () => {
    fc.assert(
      fc.property(cases(MEASURED), ({ problem, query }) => {
        const expected = tryAll(problem, query).slice(0, query.top)
        const found = answer(problem, query)
        const plans = found instanceof Error ? [] : found.plans
        expect(plans.length).toBe(expected.length)
        for (const [index, plan] of plans.entries())
          for (const [value, wanted] of [
            [plan.predictedMs, expected[index]!.ms],
            [plan.bottleneckMs, expected[index]!.slowestMs],
          ] as const)
            if (query.objective === 'throughput' || value === plan.predictedMs)
              expect(Math.abs(value / wanted - 1)).toBeLessThan(1e-9)
      }),
      { numRuns: 1000, seed: 2 },
    )
  })
})
