/** Benchmarks on a real Redis that writes an append-only file. Skipped if there is no server to start. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { ManagedProcess } from '../../../infra/start/processes/process.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { PersistentRedis, REAL_SERVER } from '../../redis/persistent-server.ts'
import { exampleResource } from '../../support/fixtures.ts'
import { eventually } from '../../support/eventually.ts'
import { gate } from '../../support/gate.ts'
import { startedOnce } from '../../support/started.ts'
import { partsOf, withBenchmarks } from './harness.ts'
import { kill } from '../../support/kill.ts'

if (REAL_SERVER === undefined) console.log('skipped: no valkey-server or redis-server on the PATH')

const HOUR = 3_600_000
/** ms without a sign of life after which a part fails. */
const PATIENCE_MS = 10_000
/** The promise of the product for a killed worker's job, in ms. */
const TAKEN_UP_MS = 5000

describe.skipIf(REAL_SERVER === undefined)('on a real Redis with persistence', { timeout: 60_000 }, () => {
  const redis = startedOnce(
    () => PersistentRedis.start(),
    (server) => server.close(),
  )
  const harness = withBenchmarks(redis)

  it('a killed and restarted Redis loses nothing that was reported done, and the running job finishes', async () => {
    harness.resource('cloud', counted('cloud'))
    const device = gate()
    const release = device.close()
    let started = 0
    harness.resource('device', async () => {
      started += 1
      if (started > 1) await device.opened()
      return `profile-of-device-${started}`
    })
    const before = await harness.ended((await harness.client.startBenchmark({ model: 'chain' })).id)
    expect(before.state).toBe('completed')

    const running = await harness.client.startBenchmark({ model: 'chain' })
    expect(running.id).not.toBe(before.id)
    await expect
      .poll(async () => partsOf(await harness.client.benchmark(running.id)), { timeout: 10_000 })
      .toEqual({ device: 'active', cloud: 'completed' })
    await redis().kill()
    await redis().startAgain()
    // The service's own connection comes back by itself.
    await expect
      .poll(() => harness.client.benchmark(before.id).catch(() => 'away'), { timeout: 10_000 })
      .toEqual(before)
    release()

    const after = await harness.ended(running.id)
    expect(partsOf(after)).toEqual({ device: 'completed', cloud: 'completed' })
    expect(await harness.client.benchmark(before.id)).toEqual(before)
    // The part that was reported done before the restart was not measured again.
    expect(runs.cloud).toBe(2)
  })

  it('a Redis that was away for longer than the patience with a machine ends no part', async () => {
    // Looks every half second; the machine counts as alive all the time.
    await harness.open(PATIENCE_MS, 200)
    const heartbeatAt = new Date(Date.now() + HOUR).toISOString()
    await harness.state.resources.put('cloud', exampleResource('cloud', { heartbeatAt }))
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    // Looked at before, so that the outage would count.
    await sleep(PATIENCE_MS / 5)
    await redis().kill()
    await sleep(1.5 * PATIENCE_MS)
    await redis().startAgain()
    await eventually(() => harness.client.benchmark(id))
    // The first looks after the outage find the part as the last one before it did.
    await sleep(PATIENCE_MS / 4)
    expect(partsOf(await harness.client.benchmark(id))).toEqual({ cloud: 'waiting' })
    harness.succeeding('cloud')
    expect(partsOf(await harness.ended(id))).toEqual({ cloud: 'completed' })
  })

  it("a killed worker's job is begun again by the next one within 5 s and finishes", async () => {
    const doomed = new ManagedProcess({
      name: 'doomed worker',
      entry: new URL('./entries/hanging-worker.ts', import.meta.url),
      args: [redis().url, 'device'],
      log: createLog('test', 'silent'),
    })
    const taken = new Promise<void>((resolve) => {
      doomed.onMessage((message) => {
        if (z.object({ took: z.string() }).safeParse(message).success) resolve()
      })
    })
    await doomed.whenReady()
    harness.succeeding('cloud')
    const { id } = await harness.client.startBenchmark({ model: 'chain' })
    await taken
    let begunAgainAt = 0
    harness.resource('device', async () => {
      begunAgainAt = performance.now()
      return 'profile-of-device'
    })
    const lateness = startLateness()
    kill(doomed)
    const killedAt = performance.now()
    const benchmark = await harness.ended(id)
    expect(partsOf(benchmark)).toEqual({ device: 'completed', cloud: 'completed' })
    expect(begunAgainAt - killedAt).toBeGreaterThan(0)
    expect(begunAgainAt - killedAt).toBeLessThanOrEqual(TAKEN_UP_MS + lateness.stop())
  })
})

const runs: Record<string, number> = {}

/** Counts how often a resource measured. */
function counted(resource: string) {
  runs[resource] = 0
  return () => {
    runs[resource] = (runs[resource] ?? 0) + 1
    return Promise.resolve(`profile-of-${resource}`)
  }
}

/** How late timers were in this process, all added up: what a busy machine adds to a time that is promised. */
function startLateness() {
  const EVERY_MS = 20
  let lateMs = 0
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    lateMs += Math.max(0, now - last - EVERY_MS)
    last = now
  }, EVERY_MS)
  return {
    stop: () => {
      clearInterval(timer)
      return lateMs
    },
  }
}
