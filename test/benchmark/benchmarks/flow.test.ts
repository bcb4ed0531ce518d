import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import type { Benchmark } from '../../../shared/contracts/profile.ts'
import { exampleProfile, exampleResource, exampleStructure, MODEL_ID } from '../../support/fixtures.ts'
import { PATIENCE_MS } from '../../support/patience.ts'
import { partsOf, withBenchmarks } from './harness.ts'
import { JSON_TYPE } from '../../support/json-type.ts'

/** After which a resource is given up here: long against what a busy machine may hold up. */
const SILENT_MS = 5000

const harness = withBenchmarks()

describe('a benchmark', () => {
  it('measures on every resource alive and names the profiles they stored', async () => {
    harness.succeeding('device')
    harness.succeeding('cloud')
    const started = await harness.client.startBenchmark({ model: 'chain' })
    expect(started.parts.map((part) => part.resource)).toEqual(['cloud', 'device'])
    expect(started.notes.join(' ')).toMatch(/emulated Redis.*device is emulated.*8x/)
    const benchmark = await harness.ended(started.id)
    expect(benchmark.state).toBe('completed')
    expect(benchmark.progress.fraction).toBe(1)
    expect(benchmark.parts.map((part) => part.profile)).toEqual(['profile-of-cloud', 'profile-of-device'])
  })

  it('answers with 202, a Location, and what the resource has to know', async () => {
    const seen: unknown[] = []
    harness.resource('cloud', async (job) => {
      seen.push(job.data)
      return 'p'
    })
    const body = { model: MODEL_ID, resources: ['cloud'], runs: 7, options: { threads: 2 } }
    const answer = await fetch(`${harness.url}/v1/benchmarks`, {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify(body),
    })
    const benchmark = (await answer.json()) as Benchmark
    expect(answer.status).toBe(202)
    expect(answer.headers.get('location')).toBe(`/v1/benchmarks/${benchmark.id}`)
    await harness.ended(benchmark.id)
    expect(seen).toEqual([
      {
        benchmark: benchmark.id,
        model: MODEL_ID,
        shapesKey: exampleStructure().shapesKey,
        resource: 'cloud',
        runs: 7,
        options: { threads: 2 },
        asker: expect.any(String),
      },
    ])
  })

  it('measures on a resource that is called like what every object has', async () => {
    await harness.state.resources.put('constructor', exampleResource('cloud', { name: 'constructor' }))
    harness.succeeding('constructor')
    const request = { model: 'chain', resources: ['constructor'] }
    const { parts } = await harness.ended((await harness.client.startBenchmark(request)).id)
    expect(parts).toMatchObject([{ state: 'completed', profile: 'profile-of-constructor' }])
    expect(parts[0]).not.toHaveProperty('reusedFrom')
  })

  it('goes on when one resource fails, and says which and why', async () => {
    harness.resource('device', () => Promise.reject(new Error('layer 3 (Conv): out of memory')))
    harness.succeeding('cloud')
    const benchmark = await harness.ended((await harness.client.startBenchmark({ model: 'chain' })).id)
    expect(benchmark.state).toBe('failed')
    expect(partsOf(benchmark)).toEqual({ device: 'failed', cloud: 'completed' })
    expect(benchmark.parts[1]?.error).toBe('layer 3 (Conv): out of memory')
    expect(benchmark.parts[0]?.profile).toBe('profile-of-cloud')
  })

  it('is the same one when asked for twice while under way, and a new one afterwards', async () => {
    harness.endless('cloud')
    const request = { model: 'chain', resources: ['cloud'] }
    const together = await Promise.all([1, 2, 3, 4].map(() => harness.client.startBenchmark(request)))
    expect(new Set(together.map((benchmark) => benchmark.id)).size).toBe(1)
    const other = await harness.client.startBenchmark({ ...request, runs: 21 })
    expect(other.id).not.toBe(together[0]?.id)
    await harness.client.cancelBenchmark(other.id)
    await harness.client.cancelBenchmark(together[0]?.id ?? '')
    await harness.ended(together[0]?.id ?? '')
    const again = await harness.client.startBenchmark(request)
    expect(again.id).not.toBe(together[0]?.id)
  })

  it('is the same one while under way also when a part of it has left a profile meanwhile', async () => {
    harness.endless('device')
    harness.resource('cloud', async () => {
      const profile = exampleProfile('cloud', [1, 2, 3, 4], { measuredAt: new Date().toISOString() })
      await harness.state.profiles.put(profile.id, profile)
      return profile.id
    })
    const first = await harness.client.startBenchmark({ model: 'chain' })
    await expect
      .poll(async () => partsOf(await harness.client.benchmark(first.id)))
      .toMatchObject({ cloud: 'completed' })
    expect((await harness.client.startBenchmark({ model: 'chain' })).id).toBe(first.id)
    await harness.client.cancelBenchmark(first.id)
    await harness.ended(first.id)
  })

  it('is cancelled: a waiting part leaves its queue, an active one is told to stop', async () => {
    harness.endless('device')
    const { id } = await harness.client.startBenchmark({ model: 'chain' })
    await expect
      .poll(async () => partsOf(await harness.client.benchmark(id)))
      .toEqual({
        device: 'active',
        cloud: 'waiting',
      })
    await harness.client.cancelBenchmark(id)
    const benchmark = await harness.ended(id)
    expect(benchmark.state).toBe('cancelled')
    expect(partsOf(benchmark)).toEqual({ device: 'cancelled', cloud: 'cancelled' })
    // Nothing is left for the resource that comes up later.
    let taken = 0
    harness.resource('cloud', async () => (taken += 1))
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(taken).toBe(0)
    expect((await harness.client.benchmark(id)).state).toBe('cancelled')
  })

  it('stays as it ended when cancelled too late', async () => {
    harness.succeeding('cloud')
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    await harness.ended(id)
    await harness.client.cancelBenchmark(id)
    expect((await harness.client.benchmark(id)).state).toBe('completed')
  })
})

describe('a resource that never answers', () => {
  it('fails alone, with a reason, while the others are kept', async () => {
    await harness.open(SILENT_MS)
    harness.succeeding('cloud')
    const benchmark = await harness.ended((await harness.client.startBenchmark({ model: 'chain' })).id)
    expect(benchmark.state).toBe('failed')
    expect(partsOf(benchmark)).toEqual({ device: 'failed', cloud: 'completed' })
    expect(benchmark.parts[1]?.error).toMatch(/device showed no sign of life for 5000 ms/)
  })

  it('fails also when it took the job and hangs', async () => {
    await harness.open(SILENT_MS)
    let release = () => {}
    harness.resource('cloud', async (job) => {
      await job.updateProgress({ fraction: 0.2, step: 'hanging' })
      await new Promise<void>((resolve) => {
        release = resolve
      })
      return 'too late'
    })
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    const benchmark = await harness.ended(id)
    expect(partsOf(benchmark)).toEqual({ cloud: 'failed' })
    expect(benchmark.parts[0]?.progress.step).toBe('hanging')
    release()
  })

  it('is given time as long as it gets on', async () => {
    await harness.open(SILENT_MS)
    harness.resource('cloud', async (job) => {
      for (let step = 1; step <= 8; step += 1) {
        await new Promise((resolve) => setTimeout(resolve, SILENT_MS / 6))
        await job.updateProgress({ fraction: step / 8, step: `step ${step}` })
      }
      return 'slow but sure'
    })
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    // A second one waits behind it all that time.
    const behind = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'], runs: 5 })
    expect((await harness.ended(id)).state).toBe('completed')
    expect((await harness.client.benchmark(behind.id)).parts[0]?.error).toBeUndefined()
  })
})

describe('a resource that goes down during a benchmark', () => {
  /** Its last heartbeat lies ahead, so that it is alive at the start however slow the machine is. */
  const openWithHeartbeats = async (aheadMs: number) => {
    await harness.open(3 * PATIENCE_MS, 200)
    const heartbeatAt = new Date(Date.now() + aheadMs).toISOString()
    await harness.state.resources.put('cloud', exampleResource('cloud', { heartbeatAt }))
  }

  it('fails long before the time is over, because its heartbeats stopped', async () => {
    await openWithHeartbeats(3000)
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    const benchmark = await harness.ended(id)
    expect(benchmark.parts[0]?.error).toMatch(/cloud is down: no heartbeat since/)
  })

  it('fails when it was shut down in order', async () => {
    await openWithHeartbeats(PATIENCE_MS)
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    await harness.state.resources.delete('cloud')
    const benchmark = await harness.ended(id)
    expect(benchmark.parts[0]?.error).toMatch(/cloud was shut down/)
  })
})

describe('what cannot be measured', () => {
  it('is refused by name: model, resource, benchmark', async () => {
    await expect(harness.client.startBenchmark({ model: 'nosuch' })).rejects.toMatchObject({
      code: 'notFound',
      message: expect.stringContaining('known: chain') as string,
    })
    await expect(harness.client.startBenchmark({ model: 'chain', resources: ['fog'] })).rejects.toMatchObject(
      {
        code: 'notFound',
        message: expect.stringContaining('known: cloud, device') as string,
      },
    )
    await expect(harness.client.benchmark('nosuch')).rejects.toMatchObject({ code: 'notFound' })
    await expect(harness.client.cancelBenchmark('nosuch')).rejects.toMatchObject({ code: 'notFound' })
    expect((await fetch(`${harness.url}/v1/benchmarks/nosuch/events`)).status).toBe(404)
  })

  it('is refused when a resource is down, saying how to start one', async () => {
    const heartbeatAt = new Date(Date.now() - 3_600_000).toISOString()
    await harness.state.resources.put('device', exampleResource('device', { heartbeatAt }))
    await expect(
      harness.client.startBenchmark({ model: 'chain', resources: ['device'] }),
    ).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('no heartbeat since') as string,
    })
    await harness.state.resources.delete('cloud')
    await expect(harness.client.startBenchmark({ model: 'chain' })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('npm run inference') as string,
    })
  })

  it('is refused when the request is malformed', async () => {
    await expect(harness.client.startBenchmark({ model: 'chain', runs: 1 })).rejects.toMatchObject({
      code: 'badRequest',
      details: { fields: [{ field: 'runs' }] },
    })
    const options = { optimisation: 'fastest' } as never
    await expect(harness.client.startBenchmark({ model: 'chain', options })).rejects.toMatchObject({
      code: 'badRequest',
      details: { fields: [{ field: 'options.optimisation' }] },
    })
    const misspelt = { thread: 2 } as unknown as { threads: number }
    await expect(harness.client.startBenchmark({ model: 'chain', options: misspelt })).rejects.toMatchObject({
      code: 'badRequest',
      message: expect.stringContaining('thread'),
    })
    await expect(
      harness.client.startBenchmark({ model: 'chain', options: { threads: 1000 } }),
    ).rejects.toMatchObject({
      code: 'badRequest',
      details: { fields: [{ field: 'options.threads' }] },
    })
  })
})

describe('the list of benchmarks', () => {
  it('is newest first by Redis’ clock, not by that of the service that began it', async () => {
    const begun: string[] = []
    for (const hours of [1, -1]) {
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + hours * 3_600_000 })
      try {
        begun.unshift((await harness.client.startBenchmark({ model: 'chain', runs: 4 + hours })).id)
      } finally {
        vi.useRealTimers()
      }
      await sleep(2)
    }
    const listed = (await (await fetch(`${harness.url}/v1/benchmarks`)).json()) as { items: { id: string }[] }
    expect(listed.items.map(({ id }) => id)).toEqual(begun)
  })

  it('is paged, newest first', async () => {
    harness.succeeding('cloud')
    const ids: string[] = []
    for (const runs of [3, 4, 5]) {
      const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'], runs })
      await harness.ended(id)
      ids.unshift(id)
    }
    const page = async (query: string) =>
      (await (await fetch(`${harness.url}/v1/benchmarks?${query}`)).json()) as {
        items: Benchmark[]
        next?: string
      }
    const first = await page('limit=2')
    const second = await page(`limit=2&cursor=${first.next}`)
    expect([...first.items, ...second.items].map((benchmark) => benchmark.id)).toEqual(ids)
    expect(second.next).toBeUndefined()
  })
})
