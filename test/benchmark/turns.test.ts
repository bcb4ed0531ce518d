import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { withLock } from '../../shared/platform/redis/lock.ts'
import { Slots, Turns } from '../../services/benchmark/turns.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

const jobs = fc.array(fc.record({ key: fc.constantFrom('a', 'b'), fails: fc.boolean() }), { maxLength: 12 })

describe('turns', () => {
  it('are taken one at a time per key, in order, whether or not the work fails', async () => {
    await fc.assert(
      fc.asyncProperty(jobs, async (list) => {
        const turns = new Turns()
        const running = new Map<string, number>()
        const order: number[] = []
        const done = list.map(({ key, fails }, index) =>
          turns.take(key, async () => {
            running.set(key, (running.get(key) ?? 0) + 1)
            expect(running.get(key)).toBe(1)
            await Promise.resolve()
            order.push(index)
            running.set(key, 0)
            if (fails) throw new Error('failed')
          }),
        )
        const outcomes = await Promise.allSettled(done)
        expect(outcomes.map((outcome) => outcome.status === 'rejected')).toEqual(
          list.map(({ fails }) => fails),
        )
        for (const wanted of ['a', 'b']) {
          const own = order.filter((index) => list[index]?.key === wanted)
          expect(own).toEqual([...own].sort((a, b) => a - b))
        }
      }),
    )
  })
})

describe('slots', () => {
  it('are never overbooked, and never lost to a failure', async () => {
    await fc.assert(
      fc.asyncProperty(jobs, fc.integer({ min: 1, max: 3 }), async (list, count) => {
        const slots = new Slots(count)
        let running = 0
        const done = list.map(({ fails }) =>
          slots.use(async () => {
            running += 1
            expect(running).toBeLessThanOrEqual(count)
            await Promise.resolve()
            running -= 1
            if (fails) throw new Error('failed')
          }),
        )
        const outcomes = await Promise.allSettled(done)
        expect(outcomes.map((outcome) => outcome.status === 'rejected')).toEqual(
          list.map(({ fails }) => fails),
        )
      }),
    )
  })
})

describe('the lock in Redis', () => {
  let redis: TestRedis
  beforeAll(async () => {
    redis = await startTestRedis()
  })
  afterAll(() => redis.close())

  it('keeps steps of several processes apart', async () => {
    const connections = [producerConnection(redis.url), producerConnection(redis.url)]
    await Promise.all(connections.map((connection) => once(connection, 'ready')))
    let total = 0
    await Promise.all(
      [0, 1, 0, 1, 0, 1].map((which) =>
        withLock(connections[which]!, 'test', async () => {
          const before = total
          await sleep(5)
          total = before + 1
        }),
      ),
    )
    expect(total).toBe(6)
    expect(await connections[0]?.keys('scission:lock:*')).toEqual([])
    for (const connection of connections) connection.disconnect()
  })
})
