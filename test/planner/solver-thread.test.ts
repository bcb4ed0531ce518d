/** Long questions do not hold up short ones, and one that never ends is given up. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { SolverThread, type SolverOptions } from '../../services/planner/queries/solver.ts'
import { PlanQuery } from '../../shared/contracts/plan.ts'
import type { SweepGrid } from '../../shared/contracts/plan-sweep.ts'
import type { Asker } from '../../shared/platform/fair-queue.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { PIECE_CHARACTERS } from '../../shared/platform/turns.ts'
import { eventually } from '../support/eventually.ts'
import { exampleLink, exampleProfile, exampleResource, exampleStructure } from '../support/fixtures.ts'
import { turnsDuring } from '../support/turns-during.ts'

let solver: SolverThread
const open = (options: SolverOptions = {}) => (solver = new SolverThread(options))
afterEach(() => solver.close())

const problem = {
  structure: exampleStructure(),
  resources: ['device', 'cloud'].map((name) => exampleResource(name)),
  profiles: [exampleProfile('device', [10, 10, 10, 10]), exampleProfile('cloud', [1, 1, 1, 1])],
  links: [exampleLink('device', 'cloud')],
}
const query = PlanQuery.parse({ model: 'chain' })
const chain = { kind: 'chain', problem, query } as const
const front = { ...chain, query: { ...query, pareto: ['latency', 'bytes'] as PlanQuery['pareto'] } } as const
/** Never answered by the entry below. */
const axes: SweepGrid = [{ vary: 'rttMs', values: [1] }]
const endless = { kind: 'sweep', problem, query, axes } as const
const entry = new URL('./entries/hanging-solver.mjs', import.meta.url)
const asker = { client: 'one' }
const other = { client: 'other' }
const codeOf = (error: unknown) => (error instanceof ScissionError ? error.code : error)

describe('the solver thread', () => {
  it('gives the same answer as solving in place', async () => {
    open()
    const { plans } = await solver.solve<'chain'>(front, asker)
    expect(plans.length).toBeGreaterThan(1)
    expect(plans[0]?.id).toBe((await solver.solve<'chain'>(chain, asker)).plans[0]?.id)
  })

  it('takes a huge model at once, and gets its structure in pieces', async () => {
    const layerMs = Array.from({ length: 6000 }, () => 1)
    const [layer] = problem.structure.layers
    const [boundary] = problem.structure.boundaries
    if (!layer || !boundary) throw new Error('the example has no layers')
    const structure = {
      ...problem.structure,
      layers: layerMs.map((_, index) => ({ ...layer, index })),
      boundaries: [...layerMs, 1].map((_, k) => ({ ...boundary, k })),
    }
    const huge = { ...problem, structure, profiles: [exampleProfile('device', layerMs)] }
    open()
    const { turns, value } = await turnsDuring(() =>
      solver.solve<'chain'>({ ...chain, problem: huge }, asker),
    )
    expect(turns).toBeGreaterThan(JSON.stringify(structure).length / PIECE_CHARACTERS)
    expect(solver.running).toBe(true)
    expect([...value.plans, ...value.native].map(({ stages }) => stages.at(-1)?.to)).toContain(6000)
  })

  it('passes on what the optimiser refuses', async () => {
    open()
    const impossible = { ...front, query: { ...front.query, maxLatencyMs: 0.001 } }
    await expect(solver.solve<'chain'>(impossible, asker)).rejects.toMatchObject({
      code: 'infeasible',
      details: { conflict: ['maxLatencyMs: 0.001'] },
    })
  })

  it('does not hold up short questions', async () => {
    open({ entry })
    const long = solver.solve<'sweep'>(endless, asker).catch(codeOf)
    expect((await solver.solve<'chain'>(chain, asker)).plans.length).toBeGreaterThan(0)
    await solver.close()
    expect(await long).toBe('cancelled')
  })

  it('takes over a short question that turns out long, so that it holds up nothing else', async () => {
    open({ entry, inPlaceMs: 0 })
    expect(await solver.solve<'chain'>(chain, asker)).toEqual({ kind: 'chain' })
    expect(solver.running).toBe(true)
  })

  it('takes over what has no plan when finding out why outlasts the time in place', async () => {
    // The clock runs on by 1 ms whenever it is looked at: the search takes less than 10 looks, the reasons more.
    let time = 0
    vi.spyOn(performance, 'now').mockImplementation(() => (time += 1))
    vi.spyOn(process, 'cpuUsage').mockImplementation(() => ({ user: 1000 * time, system: 0 }))
    const limits = {
      maxLatencyMs: 0.001,
      maxTotalUploadBytes: 0,
      maxMemoryBytes: { device: 1, cloud: 1 },
      minStages: 2,
    }
    open({ inPlaceMs: 8 })
    const refused = solver
      .solve<'chain'>({ ...chain, query: { ...query, ...limits } }, asker)
      .catch((error) => error)
    await eventually(() => expect(solver.running).toBe(true))
    vi.restoreAllMocks()
    expect(await refused).toMatchObject({ code: 'infeasible', details: { conflict: [expect.any(String)] } })
  })

  it('leaves a short question where it is if the process only waits for the CPU', async () => {
    let time = 0
    vi.spyOn(performance, 'now').mockImplementation(() => (time += 45))
    const cpu = vi.spyOn(process, 'cpuUsage').mockReturnValue({ user: 1000, system: 500 })
    open({ entry, inPlaceMs: 40 })
    expect((await solver.solve<'chain'>(chain, asker)).plans).not.toEqual([])
    expect(solver.running).toBe(false)
    cpu.mockReturnValue({ user: 30_000, system: 11_000 })
    expect(await solver.solve<'chain'>(chain, asker)).toEqual({ kind: 'chain' })
    expect(solver.running).toBe(true)
    vi.restoreAllMocks()
  })

  it('gives up what outlasts its time, and goes on with what waited behind it', async () => {
    open({ entry, longestMs: 5000 })
    const outcomes = [
      solver.solve<'sweep'>(endless, asker).catch(codeOf),
      solver.solve<'chain'>(front, asker),
    ]
    expect(await Promise.all(outcomes)).toEqual(['deadlineExceeded', { kind: 'chain' }])
  })

  it('that dies fails what it was at, and the next question gets another', async () => {
    open({ entry })
    const graph = { kind: 'graph', problem, query } as const
    const outcomes = [solver.solve<'graph'>(graph, asker).catch(codeOf), solver.solve<'chain'>(front, asker)]
    expect(await Promise.all(outcomes)).toEqual(['internal', { kind: 'chain' }])
  })

  it('refuses more than may wait of a client, and of all', async () => {
    open({ entry, waitingOfClient: 1, waiting: 2 })
    const outcomes = [asker, asker, asker, other, other, { client: 'third' }].map((who) =>
      solver.solve<'sweep'>(endless, who).catch(codeOf),
    )
    expect(await outcomes[2]).toBe('tooManyRequests')
    expect(await outcomes[5]).toBe('overloaded')
    await solver.close()
    const refused = ['cancelled', 'cancelled', 'tooManyRequests', 'cancelled', 'cancelled', 'overloaded']
    expect(await Promise.all(outcomes)).toEqual(refused)
  })

  it('answers another client while long questions of one never end', async () => {
    open({ entry })
    const endlessOnes = [1, 2, 3].map(() => solver.solve<'sweep'>(endless, asker).catch(codeOf))
    expect(await solver.solve<'chain'>(front, other)).toEqual({ kind: 'chain' })
    await solver.close()
    expect(await Promise.all(endlessOnes)).toEqual(['cancelled', 'cancelled', 'cancelled'])
  })

  it('answers a short question of another client before all that one has asked', async () => {
    open()
    const answered: string[] = []
    const ask = async ({ client }: Asker) => {
      await solver.solve<'chain'>(chain, { client })
      answered.push(client)
    }
    const bulk = Array.from({ length: 20 }, () => ask(asker))
    await Promise.all([...bulk, ask(other)])
    expect(answered.indexOf('other')).toBeLessThan(3)
  })

  it('ends when it had nothing to do for a while, and starts again', async () => {
    open({ entry, idleMs: 1 })
    for (let round = 0; round < 3; round += 1) {
      expect(await solver.solve<'chain'>(front, asker)).toEqual({ kind: 'chain' })
      await expect.poll(() => solver.running).toBe(false)
    }
  })
})
