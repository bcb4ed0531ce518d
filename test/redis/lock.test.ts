import { removeIf, withLock } from '../../shared/platform/redis/lock.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

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

  it('stays with a holder whose work takes long, and goes when the work ends', async () => {
    const connection = producerConnection(redis.url)
    await once(connection, 'ready')
    await withLock(connection, 'long', async () => {
      const before = await connection.pttl('scission:lock:long')
      // It is renewed every 2.5 s: twice by now.
      await sleep(5300)
      expect(await connection.pttl('scission:lock:long')).toBeGreaterThan(before - 2000)
    })
    expect(await connection.exists('scission:lock:long')).toBe(0)
    connection.disconnect()
  })

  it('leaves the outcome of the work as it is when Redis is lost meanwhile', async () => {
    const lose = async (end: () => string) => {
      const connection = producerConnection(redis.url)
      await once(connection, 'ready')
      return withLock(connection, 'lost', async () => {
        connection.disconnect()
        await sleep(1)
        return end()
      })
    }
    expect(await lose(() => 'done')).toBe('done')
    const watching = producerConnection(redis.url)
    await once(watching, 'ready')
    expect(await watching.del('scission:lock:lost')).toBe(1)
    watching.disconnect()
    const failing = lose(() => {
      throw new Error('its own reason')
    })
    await expect(failing).rejects.toThrow('its own reason')
  })

  it('a key is removed only while it has the value that was meant', async () => {
    const connection = producerConnection(redis.url)
    await once(connection, 'ready')
    await connection.set('who', 'b')
    expect([await removeIf(connection, 'who', 'a'), await connection.get('who')]).toEqual([false, 'b'])
    expect([await removeIf(connection, 'who', 'b'), await connection.get('who')]).toEqual([true, null])
    connection.disconnect()
  })
})
