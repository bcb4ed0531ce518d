/** What the machines refuse to serve is in no plan, in both views, and the explanation says which setting to raise where. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MESSAGE_JSON_BYTES, type ServingLimits } from '../../shared/contracts/resource.ts'
import { optimise, optimiseGraph, type Problem } from '../../shared/planning/index.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { tryAll } from './brute-force.ts'
import { graphProblems } from './graph-cases.ts'
import { EXACT, FREE, problemOf, problems, queries, threeTiers } from './problems.ts'

const NONE: ServingLimits = {
  messageBytes: Number.MAX_SAFE_INTEGER,
  stageBytes: Number.MAX_SAFE_INTEGER,
  hopTimeoutMs: 30_000,
}

/** Each resource takes messages whose tensors have at most so many bytes, and stages of so many. */
function limited<P extends Problem>(problem: P, by: (at: number) => Partial<ServingLimits>): P {
  const resources = problem.resources.map((resource, at) => ({ ...resource, limits: { ...NONE, ...by(at) } }))
  return { ...problem, resources }
}

function infeasible(run: () => unknown): ScissionError {
  try {
    run()
  } catch (thrown) {
    if (thrown instanceof ScissionError && thrown.code === 'infeasible') return thrown
    throw thrown
  }
  throw new Error('there is a plan')
}

describe('a machine that takes no longer message', () => {
  it('is handed over to only where the boundary is small enough, and nowhere else is lost', () => {
    fc.assert(
      fc.property(
        problems(EXACT, 5).chain((problem) =>
          fc.tuple(
            fc.constant(problem),
            queries(problem),
            fc.array(fc.nat(2000), { minLength: 8, maxLength: 8 }),
          ),
        ),
        ([plain, query, most]) => {
          const problem = limited(plain, (at) => ({ messageBytes: most[at % 8]! + MESSAGE_JSON_BYTES }))
          const mostOf = new Map(
            problem.resources.map(({ name, limits }) => [name, limits?.messageBytes ?? 0]),
          )
          const bytesAt = (k: number) => problem.structure.boundaries[k]!.bytes + MESSAGE_JSON_BYTES
          const source = query.source ?? problem.resources.find(({ tierIndex }) => tierIndex === 0)!.name
          const answerBytes = bytesAt(problem.structure.boundaries.length - 1)
          const kept = tryAll(plain, query).filter(({ stages }) => {
            const path = [...new Set([source, ...stages.map(({ resource }) => resource)])]
            return (
              stages.every(
                ({ resource, from }) => resource === source || bytesAt(from) <= mostOf.get(resource)!,
              ) && path.slice(0, -1).every((resource) => answerBytes <= mostOf.get(resource)!)
            )
          })
          if (kept.length === 0) return
          const { plans } = optimise(problem, { ...query, objective: 'latency', top: 1 })
          expect(plans[0]!.predictedMs).toBeCloseTo(Math.min(...kept.map(({ ms }) => ms)), 6)
        },
      ),
      { numRuns: 200 },
    )
  })

  it('is handed over to no more in the graph view either', () => {
    let narrowed = 0
    fc.assert(
      fc.property(graphProblems(EXACT, 5), fc.nat(3000), (plain, most) => {
        const first = Math.min(...plain.resources.map(({ tierIndex }) => tierIndex))
        const source = plain.resources.find(({ tierIndex }) => tierIndex === first)!.name
        const query = { ...FREE, top: 1, source, minStages: 2, cuts: 'any' as const }
        const messageBytes = most + MESSAGE_JSON_BYTES
        const solve = (problem: typeof plain) => {
          try {
            return optimiseGraph(problem, query).plans[0]
          } catch (thrown) {
            if (thrown instanceof ScissionError) return undefined
            throw thrown
          }
        }
        const keeps = (plan: ReturnType<typeof solve>) =>
          plan?.transfers.every(
            ({ bytes, returnBytes }) => Math.max(bytes, returnBytes) + MESSAGE_JSON_BYTES <= messageBytes,
          ) ?? true
        const free = solve(plain)
        const best = solve(limited(plain, () => ({ messageBytes })))
        expect(keeps(best)).toBe(true)
        if (keeps(free)) expect(best?.predictedMs).toBe(free?.predictedMs)
        else narrowed += 1
      }),
      { numRuns: 150 },
    )
    expect(narrowed).toBeGreaterThan(5)
  })

  it('is handed no two tensors that are longer together, though no boundary has both', () => {
    const tensor = (name: string, bytes: number) => ({ name, datatype: 'FP32' as const, shape: [1], bytes })
    const layer = (index: number, output: ReturnType<typeof tensor>) => {
      const costs = { weightBytes: 1, macs: null }
      return { index, name: `layer${index}`, op: 'Conv', inputs: ['t0'], outputs: [output], ...costs }
    }
    const chain = problemOf(
      [{ bytes: 6 }, { bytes: 7 }, { bytes: 5 }],
      {
        device: { tier: 'device', tierIndex: 0, layerMs: [900, 0] },
        edge: { tier: 'edge', tierIndex: 1, layerMs: [0, 900] },
      },
      { 'device>edge': { rttMs: 1, mbps: 1, returnMbps: 1 } },
    )
    const of = (k: number, tensors: string[]) => ({ ...chain.structure.boundaries[k]!, tensors })
    const structure = {
      ...chain.structure,
      layers: [layer(0, tensor('t1', 1)), layer(1, tensor('t2', 4))],
      boundaries: [of(0, ['t0']), of(1, ['t0', 't1']), of(2, ['t1', 't2'])],
      inputs: [tensor('t0', 6)],
      outputs: [tensor('t1', 1), tensor('t2', 4)],
    }
    const plain = { ...chain, structure }
    const query = { ...FREE, top: 1, source: 'device', cuts: 'any' as const }
    const longest = (problem: typeof plain) =>
      Math.max(0, ...(optimiseGraph(problem, query).plans[0]?.transfers ?? []).map(({ bytes }) => bytes))
    expect(longest(plain)).toBe(10)
    expect(longest(limited(plain, () => ({ messageBytes: 7 + MESSAGE_JSON_BYTES })))).toBeLessThanOrEqual(7)
  })

  it('passes no longer answer back, and is named where that leaves no plan', () => {
    const plain = threeTiers()
    const answerBytes = plain.structure.boundaries.at(-1)!.bytes + MESSAGE_JSON_BYTES
    const [source] = plain.resources.filter(({ tierIndex }) => tierIndex === 0)
    const problem = limited(plain, (at) =>
      plain.resources[at] === source ? { messageBytes: answerBytes - 1 } : {},
    )
    expect(
      optimise(problem, FREE).plans.every(({ native, transfers }) => native && transfers.length === 0),
    ).toBe(true)
    const error = infeasible(() => optimise(problem, { ...FREE, minStages: 2 }))
    const [, needed] =
      new RegExp(`SCISSION_BODY_MEMORY_BYTES of ${source!.name} at least (\\d+)`).exec(error.message) ?? []
    expect(Number(needed)).toBeGreaterThanOrEqual(answerBytes)
  })

  it('is named with its setting where it decides, and where nothing else would do', () => {
    const plain = threeTiers()
    const wide = optimise(plain, { ...FREE, minStages: 3 }).plans[0]!
    const crossing = wide.transfers.at(-1)!
    // The answer is what is behind the last layer; nothing is handed over there.
    const smallest = Math.min(...plain.structure.boundaries.slice(0, -1).map(({ bytes }) => bytes))
    const problem = limited(plain, () => ({ messageBytes: smallest - 1 + MESSAGE_JSON_BYTES }))
    const answer = optimise(problem, FREE)
    expect(answer.plans.every(({ native }) => native)).toBe(true)
    expect(answer.why).toMatch(/maxMessageBytes: .*SCISSION_BODY_MEMORY_BYTES of/)
    const error = infeasible(() => optimise(problem, { ...FREE, mustUseResources: [crossing.to] }))
    expect(error.message).toMatch(new RegExp(`SCISSION_BODY_MEMORY_BYTES of ${crossing.to} at least \\d+`))
    // The remedy is one.
    const [needed] = /at least (\d+)/.exec(error.message)!.slice(1)
    const raised = limited(plain, (at) => ({
      messageBytes:
        plain.resources[at]!.name === crossing.to ? Number(needed) : smallest - 1 + MESSAGE_JSON_BYTES,
    }))
    expect(optimise(raised, { ...FREE, mustUseResources: [crossing.to] }).plans).not.toEqual([])
  })
})

describe('a machine without the memory for a stage', () => {
  it('runs no such stage, and is named with its setting', () => {
    const plain = threeTiers()
    const problem = limited(plain, () => ({ stageBytes: 0 }))
    const error = infeasible(() => optimise(problem, FREE))
    expect(error.message).toMatch(/SCISSION_TRIAL_MEMORY_BYTES of \w+ at least \d+/)
  })
})

it('machines with room enough change no plan', () => {
  const plain = threeTiers()
  const { plans, why } = optimise(
    limited(plain, () => ({})),
    FREE,
  )
  expect({ plans, why }).toEqual({ plans: optimise(plain, FREE).plans, why: optimise(plain, FREE).why })
})
