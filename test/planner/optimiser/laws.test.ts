/** What must hold for any problem: constraints never help, scales carry over, conflicts are real and smallest. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { optimise, type OptimiserQuery, type Problem } from '../../../services/planner/optimiser/index.ts'
import type { Plan } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/errors.ts'
import { tryAll } from './brute-force.ts'
import { EXACT, FREE, problems, queries, threeTiers } from './problems.ts'

const cases = problems(EXACT, 5).chain((problem) =>
  queries(problem).map((query) => ({ problem, query: { ...query, top: 5 } })),
)

/** Bounded work, but the machine may be busy. */
const TIMEOUT_MS = 120_000

const LISTS = [
  'mustUseTiers',
  'mustNotUseTiers',
  'mustUseResources',
  'mustNotUseResources',
  'mustRunLayers',
  'mustNotRunLayers',
] as const
const COUNTS = ['firstLayersOnDevice', 'minStages', 'maxStages', 'maxLatencyMs', 'minThroughput'] as const
const RECORDS = ['maxTierMs', 'maxUploadBytes', 'maxMemoryBytes'] as const

/** The query that demands only what is described: `minStages: 2`, `mustUseTiers: edge`, … */
function queryOf({ source, objective }: OptimiserQuery, described: readonly string[]): OptimiserQuery {
  const query: OptimiserQuery = { ...FREE, objective, source, cuts: 'any' }
  for (const text of described) {
    const [field, value] = text.split(': ')
    for (const list of LISTS) if (field === list) query[list] = [...(query[list] ?? []), value!]
    for (const count of COUNTS) if (field === count) query[count] = Number(value)
    const [name, limit] = value!.split(':')
    for (const record of RECORDS)
      if (field === record) query[record] = { ...query[record], [name!]: Number(limit) }
    if (field === 'cuts') query.cuts = 'clean'
  }
  return query
}

function described(query: OptimiserQuery): string[] {
  return [
    ...LISTS.flatMap((list) => [...new Set(query[list])].map((name) => `${list}: ${name}`)),
    ...COUNTS.flatMap((count) => (query[count] === undefined ? [] : [`${count}: ${query[count]}`])),
    ...RECORDS.flatMap((record) =>
      Object.entries(query[record] ?? {}).map(([name, limit]) => `${record}: ${name}:${limit}`),
    ),
    ...(query.cuts === 'clean' ? ['cuts: clean'] : []),
  ]
}

function scaled(problem: Problem, factor: number): Problem {
  return {
    ...problem,
    profiles: problem.profiles.map((one) => ({ ...one, layerMs: one.layerMs.map((ms) => ms * factor) })),
    links: problem.links.map((link) => ({
      ...link,
      rttMs: link.rttMs * factor,
      bandwidthMbps: link.bandwidthMbps / factor,
      returnBandwidthMbps: link.returnBandwidthMbps / factor,
    })),
  }
}

/** The times that the query names, on the same scale. */
function scaledQuery(query: OptimiserQuery, factor: number): OptimiserQuery {
  const times = Object.entries(query.maxTierMs ?? {}).map(([tier, ms]) => [tier, ms * factor] as const)
  return {
    ...query,
    maxTierMs: Object.fromEntries(times),
    ...(query.maxLatencyMs !== undefined && { maxLatencyMs: query.maxLatencyMs * factor }),
    ...(query.minThroughput !== undefined && { minThroughput: query.minThroughput / factor }),
  }
}

/** What the objective makes small; Infinity when there is no plan. */
function bestMs(problem: Problem, query: OptimiserQuery): number {
  try {
    return costOf(query, optimise(problem, query).plans[0]!)
  } catch (error) {
    if (error instanceof ScissionError && /infeasible|notMeasured/.test(error.code)) return Infinity
    throw error
  }
}

function costOf({ objective }: OptimiserQuery, plan: Plan): number {
  return objective === 'latency' ? plan.predictedMs : plan.bottleneckMs
}

describe('laws', { timeout: TIMEOUT_MS }, () => {
  it('dropping any constraint never makes the best plan worse', () => {
    fc.assert(
      fc.property(cases, ({ problem, query }) => {
        const constraints = described(query)
        const all = bestMs(problem, query)
        for (const one of constraints) {
          const rest = constraints.filter((other) => other !== one)
          expect(bestMs(problem, queryOf(query, rest))).toBeLessThanOrEqual(all)
        }
      }),
      { numRuns: 150, seed: 3 },
    )
  })

  it('a problem whose times are all four times as long has the same plans, four times as long', () => {
    fc.assert(
      fc.property(cases, ({ problem, query }) => {
        const once = bestMs(problem, query)
        expect(bestMs(scaled(problem, 4), scaledQuery(query, 4))).toBe(4 * once)
        if (once === Infinity) return
        const ids = (given: Problem, asked: OptimiserQuery) =>
          optimise(given, asked).plans.map((plan) => plan.id)
        expect(ids(scaled(problem, 4), scaledQuery(query, 4))).toEqual(ids(problem, query))
      }),
      { numRuns: 150, seed: 4 },
    )
  })

  it('the sentence says that constraints rule out a native just when that one is better', () => {
    fc.assert(
      fc.property(cases, ({ problem, query }) => {
        if (bestMs(problem, query) === Infinity) return
        const { plans, native, why } = optimise(problem, query)
        const winner = plans[0]!
        expect(why).toContain(winner.stages[0]!.resource)
        const excluded = /constraints rule out (.*?)(;|$)/.exec(why)?.[1] ?? ''
        const cost = (plan: Plan) => costOf(query, plan)
        for (const plan of native.filter((one) => cost(one) >= cost(winner)))
          expect(excluded).not.toMatch(new RegExp(`on ${plan.stages[0]!.resource} alone`))
        const onSource = native.find((plan) => plan.transfers.length === 0)
        if (onSource && cost(onSource) < cost(winner))
          expect(excluded).toContain(`on ${onSource.stages[0]!.resource} alone`)
      }),
      { numRuns: 200, seed: 5 },
    )
  })
})

describe('when no plan satisfies the constraints', { timeout: TIMEOUT_MS }, () => {
  it('names a smallest conflicting set, and changes that do allow a plan', () => {
    const seen = { conflicts: 0, several: 0, remedies: 0 }
    fc.assert(
      fc.property(cases, ({ problem, query }) => {
        let error: ScissionError | undefined
        try {
          optimise(problem, query)
        } catch (thrown) {
          if (thrown instanceof ScissionError) error = thrown
        }
        if (error?.code !== 'infeasible') return
        const { conflict, remedies } = error.details as { conflict: string[]; remedies: string[] }
        const all = described(query)
        const none = (set: readonly string[]) => tryAll(problem, queryOf(query, set)).length === 0
        expect(none(conflict)).toBe(true)
        for (const set of subsets(all)) if (set.length < conflict.length) expect(none(set)).toBe(false)
        for (const remedy of remedies) {
          expect(none(after(all, remedy))).toBe(false)
          // Slightly short of what it says does not do.
          const short = after(all, remedy, /least/.test(remedy) ? 0.99 : 1.01)
          if (/of|Ms|Throughput/.test(remedy)) expect(none(short)).toBe(true)
        }
        const droppable = all.filter((one) => !none(all.filter((other) => other !== one)))
        expect(remedies.length).toBe(droppable.length)
        seen.conflicts += 1
        if (conflict.length > 1) seen.several += 1
        seen.remedies += remedies.length
      }),
      { numRuns: 300, seed: 6 },
    )
    expect(seen.conflicts).toBeGreaterThan(50)
    expect(seen.several).toBeGreaterThan(20)
    expect(seen.remedies).toBeGreaterThan(20)
  })

  it('names the smaller of two conflicts', () => {
    const [, ...after] = threeTiers().structure.boundaries
    const given = threeTiers()
    const wide = [
      { ...given.structure.boundaries[0]!, bytes: 50 },
      ...after.map((boundary) => ({ ...boundary, bytes: 1000 })),
    ]
    const problem = { ...given, structure: { ...given.structure, boundaries: wide } }
    const ofThree = { firstLayersOnDevice: 1, minStages: 2, maxUploadBytes: { device: 100 } }
    const ofTwo = { mustUseTiers: ['edge'], mustNotUseTiers: ['edge'] }
    expect(() => optimise(problem, { ...FREE, ...ofThree })).toThrow(
      'no plan satisfies all of firstLayersOnDevice: 1, minStages: 2, maxUploadBytes: device:100; ' +
        'one would with firstLayersOnDevice at most 0, or with minStages at most 1, ' +
        'or with maxUploadBytes of device at least 1000',
    )
    expect(() => optimise(problem, { ...FREE, ...ofTwo, ...ofThree })).toThrow(
      'no plan satisfies all of mustUseTiers: edge, mustNotUseTiers: edge; no single change allows one',
    )
  })
})

function subsets(items: readonly string[]): string[][] {
  return items.reduce<string[][]>((sets, item) => [...sets, ...sets.map((set) => [...set, item])], [[]])
}

/** The constraints once the remedy is followed: `without cuts: clean`, `with maxTierMs of edge at least 12.5`. */
function after(all: readonly string[], remedy: string, factor = 1): string[] {
  const [, field, name, text] = /^with (\w+)(?: of (\S+))? at (?:most|least) (\S+)$/.exec(remedy) ?? []
  if (field === undefined) return all.filter((one) => `without ${one}` !== remedy)
  const prefix = name === undefined ? `${field}: ` : `${field}: ${name}:`
  return all.map((one) => (one.startsWith(prefix) ? `${prefix}${Number(text) * factor}` : one))
}
