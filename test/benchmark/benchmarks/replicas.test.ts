/** Several benchmark services work the same queues, each with a calendar of its own: what one began another ends in time. */
import { Queue } from 'bullmq'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { ManagedProcess } from '../../../infra/start/processes/process.ts'
import { createBenchmarkClient } from '../../../shared/client/benchmark.ts'
import { structureId } from '../../../shared/platform/redis/state.ts'
import { eventually } from '../../support/eventually.ts'
import { exampleStructure, MODEL_ID } from '../../support/fixtures.ts'
import { withFolder } from '../../support/folder.ts'
import { gate } from '../../support/gate.ts'
import { crash, startServiceProcess } from '../../support/service-process.ts'
import { partsOf, withBenchmarks } from './harness.ts'

const HOUR = 3_600_000
const SILENT_MS = 2000

const folder = withFolder('replicas')
const harness = withBenchmarks()
afterEach(() => vi.restoreAllMocks())

describe('a replica whose clock is an hour ahead', () => {
  it('has its benchmark ended by another after its death, if the machine shows no sign of life', async () => {
    await harness.open(SILENT_MS)
    const structure = exampleStructure()
    await harness.state.structures.put(structureId(MODEL_ID, structure.shapesKey), structure)
    let ahead: ManagedProcess | undefined
    try {
      ahead = await startServiceProcess(
        'benchmark',
        { REDIS_URL: harness.redisUrl, SCISSION_DATA: folder() },
        HOUR,
      )
      const { url } = ahead
      const { id } = await eventually(() => createBenchmarkClient(url).startBenchmark({ model: 'chain' }))
      await crash(ahead)
      expect(partsOf(await harness.ended(id))).toEqual({ device: 'failed', cloud: 'failed' })
    } finally {
      await ahead?.stop()
    }
  })

  it('leaves a benchmark that it failed to collect to the next attempt, at once', async () => {
    const cloud = gate()
    const release = cloud.close()
    harness.resource('cloud', async () => {
      await cloud.opened()
      vi.spyOn(Queue.prototype, 'getJobState').mockImplementationOnce(async () => {
        const now = Date.now() + HOUR
        vi.spyOn(Date, 'now').mockReturnValue(now)
        throw new Error('Redis is busy')
      })
      return 'profile-of-cloud'
    })
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    release()
    const field = (name: string) => harness.state.redis.hget(`bull:benchmark:${id}`, name)
    await eventually(async () => expect(await field('failedReason')).toBe('Redis is busy'))
    vi.restoreAllMocks()
    await eventually(async () => expect(await field('returnvalue')).toMatch('profile-of-cloud'))
  })
})
