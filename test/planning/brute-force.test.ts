/**
 * The optimiser against trying every plan: arbitrary cases, every constraint kind and conjunctions of them.
 * `SCISSION_ALL_CASES=1 npx vitest run test/planning` tries 10,000 of each view instead of some of them.
 */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { objectiveOf, optimise, type OptimiserQuery, type Problem } from '../../shared/planning/index.ts'
import { OBJECTIVES, type Plan } from '../../shared/contracts/plan.ts'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'
import { runs } from '../support/runs.ts'
import { bestPerResources, countAll, frontOf, type Tried, tryAll } from './brute-force.ts'
import { KINDS } from './described.ts'
import { EXACT, MEASURED, type Numbers, problems, queries } from './problems.ts'
import { richProblems, richQueries } from './rich-problems.ts'

/** Bounded work, but the machine may be busy. */
const TIMEOUT_MS = runs(120_000, 1_200_000)

/** Per constraint kind, cases in which it must exclude plans that the others allow. */
const BINDING = 5

interface Case {
  problem: Problem
  query: OptimiserQuery
}

function plainCases(numbers: Numbers): fc.Arbitrary<Case> {
  return problems(numbers).chain((problem) => queries(problem).map((query) => ({ problem, query })))
}

function richCases(numbers: Numbers): fc.Arbitrary<Case> {
  return richProblems(numbers).chain((problem) => richQueries(problem).map((query) => ({ problem, query })))
}

/** The answer, or the error when there is none. */
function answer(problem: Problem, query: OptimiserQuery) {
  try {
    return optimise(problem, query)
  } catch (thrown) {
    return coerceError(thrown)
  }
}

/** The part of a plan that must be the same; numbers are exact. */
function shapeOf(problem: Problem, { stages, transfers, ...plan }: Plan) {
  return {
    stages: stages.map(({ resource, from, to, options }) => {
      const named = options ?? ownOptions(problem, resource)
      return {
        resource,
        from,
        to,
        codec: transfers.find((transfer) => transfer.to === resource)?.codec ?? 'none',
        options: named ? `${named.threads}-${named.optimisation}` : '',
      }
    }),
    ms: plan.predictedMs,
    slowestMs: plan.bottleneckMs,
    bytes: plan.bytes,
    loss: plan.accuracyLoss,
  }
}

function ownOptions(problem: Problem, resource: string) {
  const own = problem.resources.find(({ name }) => name === resource)?.options
  return own ?? problem.profiles.find((profile) => profile.resource === resource)?.options
}

function triedShape({ stages, ms, slowestMs, bytes, loss }: Tried) {
  return { stages, ms, slowestMs, bytes, loss }
}

function expectClose(found: number, expected: number): void {
  expect(Math.abs(found - expected)).toBeLessThanOrEqual(1e-9 * Math.max(1e-6, Math.abs(expected)))
}

/** All figures of each plan in order; for a weighted sum, whose ties rounding decides, its value. */
function expectSamePlans(
  { problem, query }: Case,
  plans: readonly Plan[],
  all: readonly Tried[],
  exact: boolean,
): void {
  const expected = (query.distinct === 'resources' ? bestPerResources(all) : all).slice(0, query.top)
  expect(plans.length).toBe(expected.length)
  for (const [index, plan] of plans.entries()) {
    expectClose(objectiveOf(plan, query), expected[index]!.value)
    const tried = all.find((one) => sameStages(shapeOf(problem, plan).stages, one.stages))
    expect(tried).toBeDefined()
    expectClose(plan.energyJ ?? 0, plan.energyJ === undefined ? 0 : tried!.energyJ)
    expectClose(plan.price ?? 0, plan.price === undefined ? 0 : tried!.price)
  }
  if (exact && query.objective !== 'weighted')
    expect(plans.map((plan) => shapeOf(problem, plan))).toEqual(expected.map(triedShape))
}

function sameStages(a: Tried['stages'], b: Tried['stages']): boolean {
  const key = (stages: Tried['stages']) =>
    stages.map(({ resource, from, codec, options }) => `${resource} ${from} ${codec} ${options}`).join()
  return key(a) === key(b)
}

function check(one: Case, exact: boolean, counts: boolean): 'feasible' | 'infeasible' {
  const { problem, query } = one
  const all = tryAll(problem, query)
  const found = answer(problem, query)
  if (found instanceof Error) {
    expect(found).toBeInstanceOf(ScissionError)
    expect(found.message).toMatch(/no plan satisfies|no resource can run/)
    expect(found).toHaveProperty('code', expect.stringMatching(/^(infeasible|notMeasured)$/))
    expect(all).toEqual([])
    return 'infeasible'
  }
  if (counts) expect(found.considered).toBe(countAll(problem, query))
  expectSamePlans(one, found.plans, all, exact)
  return 'feasible'
}

describe('against trying every plan', { timeout: TIMEOUT_MS }, () => {
  it('finds the same plans in the same order, ties included, and counts them all', () => {
    const seen = { feasible: 0, infeasible: 0 }
    fc.assert(
      fc.property(plainCases(EXACT), (one) => {
        seen[check(one, true, true)] += 1
      }),
      { numRuns: runs(300, 2000), seed: 1 },
    )
    // The cases are worth something only when both outcomes are common.
    expect(seen.feasible).toBeGreaterThan(60)
    expect(seen.infeasible).toBeGreaterThan(30)
  })

  it('finds the same with codecs, runtime options, costs at cuts and every objective and constraint', () => {
    const binding = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<string, number>
    const seen = { feasible: 0, infeasible: 0 }
    fc.assert(
      fc.property(richCases(EXACT), (one) => {
        const outcome = check(one, true, true)
        seen[outcome] += 1
        const { problem, query } = one
        const wanted = KINDS.filter((kind) => query[kind] !== undefined && binding[kind]! < BINDING)
        const kept = wanted.length > 0 ? tryAll(problem, query).length : 0
        for (const kind of wanted)
          if (tryAll(problem, { ...query, [kind]: undefined }).length > kept) binding[kind]! += 1
      }),
      { numRuns: runs(800, 4000), seed: 5 },
    )
    expect(seen.feasible).toBeGreaterThan(200)
    expect(seen.infeasible).toBeGreaterThan(100)
    for (const kind of KINDS) expect(binding[kind], `cases where ${kind} excludes plans`).toBe(BINDING)
  })

  it('finds the same costs with numbers as they are measured', () => {
    fc.assert(
      fc.property(fc.oneof(plainCases(MEASURED), richCases(MEASURED)), (one) => {
        check(one, false, false)
      }),
      { numRuns: runs(300, 2000), seed: 2 },
    )
  })

  it('finds the same fronts of two to four objectives', () => {
    const sizes: number[] = []
    const cases = richCases(EXACT).chain((one) =>
      fc
        .subarray([...OBJECTIVES], { minLength: 2, maxLength: 4 })
        .map((pareto) => ({ ...one, query: { ...one.query, pareto } })),
    )
    fc.assert(
      fc.property(cases, ({ problem, query }) => {
        const expected = frontOf(tryAll(problem, query), query.pareto)
        const found = answer(problem, query)
        const plans = found instanceof Error ? [] : found.plans
        const values = plans.map((plan) => query.pareto.map((objective) => objectiveOf(plan, { objective })))
        expect(sorted(values)).toEqual(sorted(expected))
        sizes.push(plans.length)
      }),
      { numRuns: runs(200, 2000), seed: 13 },
    )
    expect(sizes.filter((size) => size > 3).length).toBeGreaterThan(10)
  })
})

function sorted(rows: readonly number[][]): number[][] {
  return [...rows].sort((a, b) => {
    const at = a.findIndex((value, index) => value !== b[index])
    return at < 0 ? 0 : a[at]! - b[at]!
  })
}
