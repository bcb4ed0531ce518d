/** What must hold for any problem of the chain view: constraints never help, scales carry over. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  objectiveOf,
  optimise,
  type OptimiserQuery,
  type Problem,
} from '../../../services/planner/optimiser/index.ts'
import type { Plan } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/errors.ts'
import { cases, richCases } from './chain-cases.ts'
import { described, queryOf } from './described.ts'

/** Bounded work, but the machine may be busy. */
const TIMEOUT_MS = 120_000

/** Everything that takes time takes `factor` times as long; a byte costs so many times as much. */
function scaled(problem: Problem, factor: number): Problem {
  const times = (values: readonly number[] | undefined) => values?.map((ms) => ms * factor)
  return {
    ...problem,
    profiles: problem.profiles.map((one) => ({
      ...one,
      layerMs: times(one.layerMs)!,
      enterMs: times(one.enterMs),
      exitMs: times(one.exitMs),
      interval: one.interval && { ...one.interval, fixedMs: one.interval.fixedMs * factor },
      codecs: one.codecs?.map(({ codec, encodeMsPerMb, decodeMsPerMb }) => ({
        codec,
        encodeMsPerMb: encodeMsPerMb * factor,
        decodeMsPerMb: decodeMsPerMb * factor,
      })),
    })),
    links: problem.links.map(({ uncertainty, ...link }) => ({
      ...link,
      rttMs: link.rttMs * factor,
      perMessageMs: (link.perMessageMs ?? 0) * factor,
      bandwidthMbps: link.bandwidthMbps / factor,
      returnBandwidthMbps: link.returnBandwidthMbps / factor,
      uncertainty: uncertainty && {
        rttMs: uncertainty.rttMs * factor,
        bandwidthMbps: uncertainty.bandwidthMbps / factor,
        returnBandwidthMbps: uncertainty.returnBandwidthMbps / factor,
      },
    })),
    figures: problem.figures && {
      ...problem.figures,
      pricePerGb: scaledRecord(problem.figures.pricePerGb ?? {}, factor),
    },
  }
}

function scaledRecord(record: Readonly<Record<string, number>>, factor: number): Record<string, number> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, value * factor]))
}

/** The times and costs that the query names, on the same scale. */
function scaledQuery(query: OptimiserQuery, factor: number): OptimiserQuery {
  const scaledBy = (field: 'maxLatencyMs' | 'maxEnergyJ' | 'maxPrice') =>
    query[field] === undefined ? {} : { [field]: query[field] * factor }
  return {
    ...query,
    ...(query.maxTierMs && { maxTierMs: scaledRecord(query.maxTierMs, factor) }),
    ...scaledBy('maxLatencyMs'),
    ...scaledBy('maxEnergyJ'),
    ...scaledBy('maxPrice'),
    ...(query.minThroughput !== undefined && { minThroughput: query.minThroughput / factor }),
  }
}

/** What the objective makes small; Infinity when there is no plan. */
function bestOf(problem: Problem, query: OptimiserQuery): number {
  try {
    return objectiveOf(optimise(problem, query).plans[0]!, query)
  } catch (error) {
    if (error instanceof ScissionError && /infeasible|notMeasured/.test(error.code)) return Infinity
    throw error
  }
}

describe('laws', { timeout: TIMEOUT_MS }, () => {
  it('dropping any constraint never makes the best plan worse', () => {
    fc.assert(
      fc.property(cases, ({ problem, query }) => {
        const constraints = described(problem, query)
        const all = bestOf(problem, query)
        for (const one of constraints) {
          const rest = constraints.filter((other) => other !== one)
          expect(bestOf(problem, queryOf(query, rest))).toBeLessThanOrEqual(all * (1 + 1e-12))
        }
      }),
      { numRuns: 150, seed: 3 },
    )
  })

  it('a problem whose times are all four times as long has the same plans, four times as long', () => {
    fc.assert(
      fc.property(cases, ({ problem, query: given }) => {
        const query = {
          ...given,
          objective: given.objective === 'weighted' ? ('energy' as const) : given.objective,
        }
        if (query.objective === 'energy' && !problem.figures) return
        const factor = query.objective === 'bytes' ? 1 : 4
        const once = bestOf(problem, query)
        expect(bestOf(scaled(problem, 4), scaledQuery(query, 4))).toBe(factor * once)
        if (once === Infinity) return
        const ids = (one: Problem, asked: OptimiserQuery) => optimise(one, asked).plans.map((plan) => plan.id)
        expect(ids(scaled(problem, 4), scaledQuery(query, 4))).toEqual(ids(problem, query))
      }),
      { numRuns: 200, seed: 4 },
    )
  })

  it('the sentence says that constraints rule out a native just when that one is better', () => {
    fc.assert(
      fc.property(cases, ({ problem, query }) => {
        if (bestOf(problem, query) === Infinity) return
        const { plans, native, why } = optimise(problem, query)
        const winner = plans[0]!
        expect(why).toContain(winner.stages[0]!.resource)
        const excluded = /constraints rule out (.*?)(;|$)/.exec(why)?.[1] ?? ''
        const cost = (plan: Plan) => objectiveOf(plan, query)
        for (const plan of native.filter((one) => cost(one) >= cost(winner)))
          expect(excluded).not.toMatch(new RegExp(`on ${plan.stages[0]!.resource} alone`))
        const onSource = native.find((plan) => plan.transfers.length === 0)
        if (onSource && cost(onSource) < cost(winner) * (1 - 1e-9))
          expect(excluded).toContain(`on ${onSource.stages[0]!.resource} alone`)
      }),
      { numRuns: 200, seed: 5 },
    )
  })

  it('a plan lies within its interval, and at its upper end with the confidence upper', () => {
    fc.assert(
      fc.property(richCases, ({ problem, query }) => {
        if (bestOf(problem, query) === Infinity) return
        for (const { predictedMs, interval } of optimise(problem, query).plans) {
          expect(interval.lowMs).toBeLessThanOrEqual(predictedMs)
          expect(interval.highMs).toBeGreaterThanOrEqual(predictedMs)
          if (query.confidence === 'upper') expect(interval.highMs).toBe(predictedMs)
        }
      }),
      { numRuns: 150, seed: 7 },
    )
  })
})
