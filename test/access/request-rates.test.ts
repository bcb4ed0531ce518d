/** Requests per second: counted over all services in Redis, and by each one alone while Redis is away. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Redis } from 'ioredis'
import type { Quotas } from '../../shared/contracts/quota.ts'
import type { Identity } from '../../shared/platform/access/identity.ts'
import { RequestRates } from '../../shared/platform/access/request-rates.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { TEST_SERVERS } from '../redis/servers.ts'
import { eventually } from '../support/eventually.ts'

const client = (quotas?: Quotas, more: { id?: string; account?: string } = {}): Identity => ({
  kind: 'client',
  id: 'camera',
  name: 'camera',
  infer: 'all',
  read: true,
  quotas,
  ...more,
})

/** The most that a quota allows from a moment until now: windows of a second, and of ten, begin with their first request. */
function most({ requests, burst }: { requests: number; burst: number }, sinceMs: number): number {
  const seconds = (performance.now() - sinceMs) / 1000
  return requests * (Math.ceil(seconds) + 1) + burst * (Math.ceil(seconds / 10) + 1)
}

/** Sends far more than are allowed at once. Neither all are taken nor none. */
async function expectLimited(rates: readonly RequestRates[], identity: Identity): Promise<void> {
  const startedAt = performance.now()
  const count = await taken(rates, identity, MANY)
  expect(count).toBeGreaterThanOrEqual(IN_BURST.requests + IN_BURST.burst)
  expect(count).toBeLessThanOrEqual(most(IN_BURST, startedAt))
}
const MANY = 60

/** How many of so many requests at once are taken. */
async function taken(rates: readonly RequestRates[], identity: Identity, count: number): Promise<number> {
  const outcomes = await Promise.allSettled(
    Array.from({ length: count }, async (_, index) => rates[index % rates.length]?.count(identity)),
  )
  for (const outcome of outcomes)
    if (outcome.status === 'rejected')
      expect(outcome.reason).toMatchObject({
        code: 'tooManyRequests',
        details: { quota: 'requests', retryAfterSeconds: expect.any(Number) as number },
      })
  return outcomes.filter(({ status }) => status === 'fulfilled').length
}

const IN_BURST = { requests: 1, burst: 5 }

describe.each(TEST_SERVERS)('requests per second with $name', ({ open, skip }) => {
  let server: Awaited<ReturnType<typeof open>>
  let redis: Redis
  let other: Redis

  beforeAll(async () => {
    if (skip) return
    server = await open()
    ;[redis, other] = [producerConnection(server.url), producerConnection(server.url)]
    await eventually(() => Promise.all([redis.ping(), other.ping()]))
  })
  beforeEach(() => (skip ? undefined : redis.flushall()))
  afterAll(async () => {
    redis?.disconnect()
    other?.disconnect()
    await server?.close()
  })
  const both = (defaults: Quotas = {}) => [
    new RequestRates(() => redis, defaults),
    new RequestRates(() => other, defaults),
  ]

  it.skipIf(skip)('are one count for two services', async () => {
    await expectLimited(both(), client(IN_BURST))
  })

  it.skipIf(skip)('are counted by the account: two tokens of one owner share them', async () => {
    const rates = both()
    await taken(rates, client(IN_BURST, { id: 'old' }), 20)
    await taken(rates, client(IN_BURST, { id: 'new', account: 'old' }), 20)
    expect((await redis.keys('scission:burst:*')).sort()).toEqual(['scission:burst:old'])
    await taken(rates, client(IN_BURST, { id: 'another' }), 20)
    expect(await redis.keys('scission:burst:*')).toHaveLength(2)
  })

  it.skipIf(skip)(
    'ask Redis for nothing without a quota, and for nothing more once they are used up',
    async () => {
      const none = new RequestRates(() => {
        throw new Error('Redis was asked')
      }, {})
      expect(none.count(client())).toBeUndefined()
      expect(none.count({ kind: 'local' })).toBeUndefined()
      expect(none.count({ kind: 'resource', id: 'edge', name: 'edge' })).toBeUndefined()
      expect(none.count({ kind: 'nobody' })).toBeUndefined()

      let asked = 0
      const counting = {
        defineCommand: () => undefined,
        status: 'ready',
        rlflxIncr: () => {
          asked += 1
          return Promise.resolve([asked, 60_000])
        },
      }
      const rates = new RequestRates(() => counting as unknown as Redis, {})
      expect(await taken([rates], client({ requests: 2 }), 2)).toBe(2)
      expect(await taken([rates], client({ requests: 2 }), 50)).toBe(0)
      expect(asked).toBe(2)
    },
  )

  it.skipIf(skip)(
    'are those of the settings for who has none, unless its key says that it has no limit',
    async () => {
      const rates = both(IN_BURST)
      await expectLimited(rates, client())
      expect(await taken(rates, client({ requests: null }), 60)).toBe(60)
      await expectLimited(rates, { kind: 'operator', id: 'oidc:5f', name: 'ann' })
    },
  )

  it.skipIf(skip)('come back: who waits as long as it is told is taken again', async () => {
    const [rates] = both() as [RequestRates]
    const identity = client({ requests: 1 })
    await taken([rates], identity, 5)
    await eventually(() => rates.count(identity))
  })
})

describe('requests per second while Redis is away', () => {
  it('are held to the quota by each service alone: neither all are let through nor all refused', async () => {
    const [server] = TEST_SERVERS
    if (!server) throw new Error('there is always an emulated one')
    const { url, close } = await server.open()
    const redis = producerConnection(url)
    await eventually(() => redis.ping())
    const rates = new RequestRates(() => redis, {})
    expect(await taken([rates], client(IN_BURST), 1)).toBe(1)
    await close()
    await eventually(() => expect(redis.status).not.toBe('ready'))
    await expectLimited([rates], client(IN_BURST, { id: 'other' }))
    redis.disconnect()
  })

  it('wait for a Redis that is silent once, not with each request', async () => {
    const silent = {
      defineCommand: () => undefined,
      status: 'ready',
      rlflxIncr: () => new Promise(() => undefined),
    }
    const rates = new RequestRates(() => silent as unknown as Redis, {})
    await expectLimited([rates], client(IN_BURST))
    // By then nobody waits: these answer from memory.
    expect(await taken([rates], client({ requests: 1000 }, { id: 'another' }), 30)).toBe(30)
  })
})
