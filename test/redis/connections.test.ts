/** The effect of a lost Redis on those who use it. The link to it is cut by the link emulator. */
import { Queue, Worker } from 'bullmq'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type LinkEmulator, startLinkEmulator } from '../../infra/testbed/link-emulator/emulator.ts'
import { type OpenRedis, openRedis } from '../../infra/start/redis/open-redis.ts'
import { createLog } from '../../shared/platform/log.ts'
import { producerConnection, workerConnection } from '../../shared/platform/redis/connections.ts'
import {
  LOCK_DURATION_MS,
  queueOptions,
  STALLED_INTERVAL_MS,
  withErrorHandler,
  workerOptions,
} from '../../shared/platform/redis/queues.ts'
import { throughPort } from '../support/redis.ts'

const log = createLog('test', 'silent')
let server: OpenRedis
let link: LinkEmulator
let url: string

beforeAll(async () => {
  server = await openRedis({ log, env: { PATH: '' } })
})
afterAll(() => server.close())
beforeEach(async () => {
  const { hostname, port } = new URL(server.url)
  const target = { host: hostname, port: Number(port) }
  link = await startLinkEmulator([{ name: 'redis', target, rttMs: 0, upMbps: null, downMbps: null }])
  url = throughPort(server.url, link.ports.redis)
})
afterEach(() => link.close())

describe('a producer', () => {
  it('is refused at once while Redis is lost, and served when it is back', async () => {
    const redis = producerConnection(url, log)
    await expect.poll(() => redis.ping().catch(() => 'not yet')).toBe('PONG')
    await link.cut('redis', 'reset')
    await expect.poll(() => redis.status).not.toBe('ready')
    // The text by which shared/platform/http-server/error-answers.ts knows a 503.
    await expect(redis.get('x')).rejects.toThrow(/Stream isn't writeable|Connection is closed/)
    await link.restore('redis')
    await expect.poll(() => redis.ping().catch(() => 'not yet')).toBe('PONG')
    redis.disconnect()
  })

  it('has a command under way fail when the connection breaks and stays broken', async () => {
    const redis = producerConnection(url, log)
    await expect.poll(() => redis.ping().catch(() => 'not yet')).toBe('PONG')
    await link.cut('redis')
    const underWay = expect(redis.get('x')).rejects.toThrow()
    await link.cut('redis', 'reset')
    await underWay
    redis.disconnect()
  })
})

describe('a worker', () => {
  it('goes on with its queue after Redis was lost', async () => {
    const producer = producerConnection(server.url, log)
    const consumer = workerConnection(url, log)
    const queue = withErrorHandler(new Queue('outage', queueOptions(producer)), 'outage', log)
    const ran: string[] = []
    const work = async ({ name }: { name: string }) => ran.push(name)
    const worker = withErrorHandler(new Worker('outage', work, workerOptions(consumer)), 'outage', log)
    await queue.add('before', {})
    await expect.poll(() => ran).toEqual(['before'])
    await link.cut('redis', 'reset')
    await queue.add('meanwhile', {})
    await link.restore('redis')
    await expect.poll(() => ran).toEqual(['before', 'meanwhile'])
    await worker.close()
    await queue.close()
    producer.disconnect()
    consumer.disconnect()
  })

  it('has the same recovery settings as every other, and renews its lock in time', () => {
    const consumer = workerConnection(url, log)
    const options = workerOptions(consumer)
    expect(options).toMatchObject({ lockDuration: LOCK_DURATION_MS, stalledInterval: STALLED_INTERVAL_MS })
    expect(consumer.options.maxRetriesPerRequest).toBeNull()
    consumer.disconnect()
  })
})
