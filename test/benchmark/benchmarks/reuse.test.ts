import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { BenchmarkClient } from '../../../shared/client/benchmark.ts'
import type { Profile } from '../../../shared/contracts/profile.ts'
import { exampleProfile, exampleResource } from '../../support/fixtures.ts'
import { withBenchmarks } from './harness.ts'

const harness = withBenchmarks()
/** Which resources were measured. */
let measured: string[]

beforeEach(() => {
  measured = []
  for (const name of ['cloud', 'device'])
    harness.resource(name, async () => {
      measured.push(name)
      return `new-profile-of-${name}`
    })
})

const MINUTES = 60_000
const keep = (changes: Partial<Profile> = {}, ageMs = 10 * MINUTES) => {
  const measuredAt = new Date(Date.now() - ageMs).toISOString()
  const profile = exampleProfile('cloud', [1, 2, 3, 4], { measuredAt, ...changes })
  return harness.state.profiles.put(profile.id, profile).then(() => profile)
}
const run = async (request: Partial<Parameters<BenchmarkClient['startBenchmark']>[0]> = {}) => {
  const started = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'], ...request })
  return harness.ended(started.id)
}

describe('a profile that was measured recently', () => {
  it.each([-2, 2])(
    'is as old as Redis says, not the clock of this service, which is off by %s h',
    async (hours) => {
      await keep()
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + hours * 60 * MINUTES })
      try {
        await run({ maxAgeMs: 11 * MINUTES })
        expect(measured).toHaveLength(0)
        await run({ maxAgeMs: 9 * MINUTES })
        expect(measured).toHaveLength(1)
      } finally {
        vi.useRealTimers()
      }
    },
  )

  it('stands for a new measurement: its part is completed at once and says so', async () => {
    const profile = await keep()
    const started = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    expect(started.state).toBe('completed')
    expect(started.parts).toEqual([
      {
        resource: 'cloud',
        state: 'completed',
        progress: { fraction: 1, step: 'reused' },
        profile: profile.id,
        reusedFrom: profile.measuredAt,
      },
    ])
    expect(started.notes.join()).toContain(`its profile of ${profile.measuredAt} is reused`)
    expect(await harness.ended(started.id)).toMatchObject({ state: 'completed', parts: started.parts })
    expect(measured).toEqual([])
  })

  it('does not stand for it in the eyes of one who forces a measurement while that benchmark is under way', async () => {
    await keep()
    harness.endless('device')
    const resources = ['cloud', 'device']
    const reusing = await harness.client.startBenchmark({ model: 'chain', resources })
    const forced = await harness.client.startBenchmark({ model: 'chain', resources, force: true })
    expect(forced.id).not.toBe(reusing.id)
    for (const { id } of [reusing, forced]) await harness.client.cancelBenchmark(id)
  })

  it('spares its resource alone: the others are measured', async () => {
    await keep()
    const benchmark = await run({ resources: ['cloud', 'device'] })
    expect(benchmark.state).toBe('completed')
    expect(benchmark.parts.map(({ resource, progress }) => [resource, progress.step])).toEqual([
      ['cloud', 'reused'],
      ['device', 'done'],
    ])
    expect(measured).toEqual(['device'])
  })

  it('is not used when the request forces a measurement, or does not want one of that age', async () => {
    await keep()
    await run({ force: true })
    await run({ maxAgeMs: 0 })
    await run({ maxAgeMs: 9 * MINUTES })
    expect(measured).toHaveLength(3)
    await run({ maxAgeMs: 11 * MINUTES })
    expect(measured).toHaveLength(3)
  })

  it('is not used where it cannot be read, and the measurement takes its place', async () => {
    const profile = await keep()
    await harness.state.redis.hset('scission:profiles', profile.id, '{"id": 7}')
    expect((await run()).state).toBe('completed')
    expect(measured).toEqual(['cloud'])
  })

  it('is an hour old at most unless the request says otherwise', async () => {
    await keep({}, 61 * MINUTES)
    await run()
    expect(measured).toEqual(['cloud'])
  })

  it('is not used for another machine, speed, number of threads or more runs, nor when it was imported', async () => {
    const { machine, slowdown } = exampleResource('cloud')
    await keep({ machine: { ...machine, cpuModel: 'another' } })
    await run()
    await keep({ slowdown: slowdown + 1 })
    await run()
    await keep({ source: 'imported' })
    await run()
    await keep()
    await run({ options: { threads: 2 } })
    await run({ runs: 50 })
    expect(measured).toHaveLength(5)
  })

  it('does not keep a forced measurement from being asked for while one is reused', async () => {
    await keep()
    const [reused, forced] = await Promise.all([
      harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] }),
      harness.client.startBenchmark({ model: 'chain', resources: ['cloud'], force: true }),
    ])
    expect(reused.id).not.toBe(forced.id)
    expect((await harness.ended(forced.id)).parts[0]?.profile).toBe('new-profile-of-cloud')
  })
})

describe('a benchmark', () => {
  it('says beforehand when serving will feel it: fewer cores than serving and measuring need', async () => {
    const machine = { ...exampleResource('cloud').machine, cores: 16 }
    await harness.state.resources.put('device', exampleResource('device', { machine }))
    const { notes } = await harness.client.startBenchmark({ model: 'chain' })
    expect(notes.filter((note) => note.includes('serving on'))).toEqual([
      expect.stringMatching(
        /serving on cloud may be slower while it is measured.*1 cores and would need 3/,
      ) as string,
    ])
  })
})
