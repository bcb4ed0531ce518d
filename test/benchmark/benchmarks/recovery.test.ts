import { Queue } from 'bullmq'
import { describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { ManagedProcess } from '../../../infra/start/processes/process.ts'
import { createLog } from '../../../shared/platform/log.ts'
import {
  stopKey,
  LOCK_DURATION_MS,
  LOCK_RENEW_MS,
  STALLED_INTERVAL_MS,
} from '../../../shared/platform/redis/queues.ts'
import { partsOf, withBenchmarks } from './harness.ts'
import { gate } from '../../support/gate.ts'
import { kill } from '../../support/kill.ts'

const harness = withBenchmarks()

describe('a worker that is killed', () => {
  it('loses its job to the next one within 5 s, by the settings that all workers share', () => {
    expect(LOCK_DURATION_MS + STALLED_INTERVAL_MS).toBeLessThanOrEqual(5000)
    // A busy event loop may miss three renewals.
    expect(LOCK_DURATION_MS / LOCK_RENEW_MS).toBeGreaterThanOrEqual(4)
  })

  it('leaves a job that is taken up again and finishes, while what others measured is kept', async () => {
    const doomed = new ManagedProcess({
      name: 'doomed worker',
      entry: new URL('./entries/hanging-worker.ts', import.meta.url),
      args: [harness.redisUrl, 'device'],
      log: createLog('test', 'silent'),
    })
    let taken = false
    doomed.onMessage((message) => {
      taken ||= z.object({ took: z.string() }).safeParse(message).success
    })
    await doomed.whenReady()
    harness.succeeding('cloud')
    const { id } = await harness.client.startBenchmark({ model: 'chain' })
    await expect.poll(() => taken).toBe(true)
    await expect.poll(async () => partsOf(await harness.client.benchmark(id)).cloud).toBe('completed')
    kill(doomed)
    await doomed.exited
    harness.succeeding('device')
    const benchmark = await harness.ended(id)
    expect(partsOf(benchmark)).toEqual({ device: 'completed', cloud: 'completed' })
  })
})

describe('a part that is given up from here', () => {
  it('leaves word for its worker to stop, whenever it looks', async () => {
    await harness.open(5000)
    harness.succeeding('cloud')
    const { id } = await harness.client.startBenchmark({ model: 'chain' })
    await harness.ended(id)
    expect(await harness.state.redis.get(stopKey(id, 'device'))).toMatch(/device showed no sign of life/)
    expect(await harness.state.redis.get(stopKey(id, 'cloud'))).toBeNull()
  })

  it('is shown with its reason while its job is being removed, not as one whose job was lost', async () => {
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    vi.spyOn(Queue.prototype, 'getJobState').mockImplementationOnce(async () => {
      await harness.client.cancelBenchmark(id)
      return 'waiting'
    })
    const { state, parts } = await harness.client.benchmark(id)
    expect([state, parts[0]?.error]).toEqual(['cancelled', 'cancelled before it started'])
  })

  it('is none that completes between the two looks at it', async () => {
    await harness.open(1000)
    const cloud = gate()
    const release = cloud.close()
    harness.resource('cloud', async () => {
      await cloud.opened()
      return 'profile-of-cloud'
    })
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    // The check sees an active part; until it asks for its progress, the part has completed.
    const getActive = vi.spyOn(Queue.prototype, 'getActive').mockImplementationOnce(async () => {
      release()
      await harness.ended(id)
      return []
    })
    await expect.poll(() => getActive.mock.calls.length).toBeGreaterThan(0)
    // The check has ended once the next one begins.
    const looks = vi.spyOn(Queue.prototype, 'getJobs')
    await expect.poll(() => looks.mock.calls.length).toBeGreaterThan(0)
    looks.mockRestore()
    expect(partsOf(await harness.ended(id))).toEqual({ cloud: 'completed' })
    expect(await harness.state.redis.get(stopKey(id, 'cloud'))).toBeNull()
    getActive.mockRestore()
  })
})
