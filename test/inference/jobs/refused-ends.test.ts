/** Redis refuses to take the end of a job: the work is done once, and ends as it ended. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Job, Queue, QueueEvents } from 'bullmq'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { OpenRedis } from '../../../infra/start/redis/open-redis.ts'
import type { Engine } from '../../../services/inference/serving/engine.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { producerConnection, workerConnection } from '../../../shared/platform/redis/connections.ts'
import { LOCK_DURATION_MS, queueOptions, withErrorHandler } from '../../../shared/platform/redis/queues.ts'
import { openState } from '../../../shared/platform/redis/state.ts'
import { TEST_SERVERS } from '../../redis/servers.ts'
import { eventually } from '../../support/eventually.ts'
import { PATIENCE_MS } from '../../support/patience.ts'
import { startInference, type TestService } from '../support/service.ts'
import { branchedModel, register, toyEngine } from '../support/toy-models.ts'

const toy = branchedModel('a')
const OOM = "OOM command not allowed when used memory > 'maxmemory'."
/** For so long that the queue gives the job out again. */
const LONG_MS = LOCK_DURATION_MS + 3000
const SHORT_MS = 600

describe.each(TEST_SERVERS)('on $name', ({ name, open, skip }) => {
  describe.skipIf(skip)('a benchmark whose end is refused', () => {
    let server: OpenRedis
    let connection: ReturnType<typeof workerConnection>
    let producer: ReturnType<typeof producerConnection>
    let queue: Queue
    let events: QueueEvents
    let service: TestService | undefined
    let measured = 0

    beforeAll(async () => {
      server = await open()
      connection = workerConnection(server.url)
      producer = producerConnection(server.url)
      await eventually(() => producer.ping())
      await register(openState(producer, createLog('test', 'silent')), toy)
      queue = withErrorHandler(new Queue('benchmark.edge', queueOptions(producer)), 'test')
      events = withErrorHandler(new QueueEvents('benchmark.edge', { connection }), 'test')
      await events.waitUntilReady()
    })
    afterEach(async () => {
      vi.restoreAllMocks()
      await service?.stop()
      service = undefined
    })
    afterAll(async () => {
      await events?.close()
      await queue?.close()
      connection?.disconnect()
      producer?.disconnect()
      await server?.close()
    })

    /** A machine whose measurements end when `end` is called. */
    async function start(): Promise<(error: Error) => void> {
      measured = 0
      let reject: (error: Error) => void = () => undefined
      const promise = new Promise<never>((_, refuse) => (reject = refuse))
      promise.catch(() => undefined)
      const engine: Engine = {
        ...toyEngine([toy]),
        store: {
          open: async (key) => {
            const manifest = { ...key, inputs: [], outputs: [], passThrough: [], onnx: null, weights: [] }
            return { path: '/model.onnx', manifest, release: () => undefined }
          },
        },
        profile: () => {
          measured += 1
          return promise
        },
      }
      service = await startInference(server.url, { SCISSION_RESOURCE: 'edge', SCISSION_TIER: 'edge' }, engine)
      return (error) => reject(error)
    }
    const add = () =>
      queue.add('profile', {
        benchmark: 'refused',
        model: toy.model.id,
        shapesKey: toy.structure.shapesKey,
        resource: 'edge',
        runs: 5,
        options: {},
      })

    /** Refuses the end of every job, in Redis' own words. @returns how often. */
    function refuseEnds(): { count: number; allow: () => void } {
      const refusals = { count: 0, allow: () => vi.restoreAllMocks() }
      const refuse = () => {
        refusals.count += 1
        return Promise.reject(new Error(OOM))
      }
      vi.spyOn(Job.prototype, 'moveToFailed').mockImplementation(refuse)
      vi.spyOn(Job.prototype, 'moveToCompleted').mockImplementation(refuse)
      vi.spyOn(Job.prototype, 'extendLock').mockRejectedValue(new Error(OOM))
      return refusals
    }

    it.each([SHORT_MS, LONG_MS])('for %d ms was measured once', async (ms) => {
      const end = await start()
      const job = await add()
      const ended = job.waitUntilFinished(events, PATIENCE_MS).then(String, (error: Error) => error.message)
      await eventually(() => expect(measured).toBe(1))
      const refusals = refuseEnds()
      end(new Error('the model cannot be run'))
      await eventually(() => expect(refusals.count).toBeGreaterThan(0))
      await sleep(ms)
      refusals.allow()
      expect(await ended).toBe('the model cannot be run')
      expect(measured).toBe(1)
    })

    it.skipIf(name.includes('emulated'))('because Redis is read-only was measured once', async () => {
      const end = await start()
      const job = await add()
      const ended = job.waitUntilFinished(events, PATIENCE_MS).then(String, (error: Error) => error.message)
      await eventually(() => expect(measured).toBe(1))
      await connection.replicaof('127.0.0.1', '1')
      end(new Error('the model cannot be run'))
      await sleep(LONG_MS)
      await connection.replicaof('NO', 'ONE')
      expect(await ended).toBe('the model cannot be run')
      expect(measured).toBe(1)
    })
  })
})
