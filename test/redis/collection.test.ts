/** Shared documents: writes that depend on what is there are one step, and rubbish in Redis harms nobody. */
import { workerConnection, producerConnection } from '../../shared/platform/redis/connections.ts'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { OpenRedis } from '../../infra/start/redis/open-redis.ts'
import { CHANGES_CHANNEL } from '../../shared/platform/redis/changes.ts'
import { Collection } from '../../shared/platform/redis/collection.ts'
import { eventually } from '../support/eventually.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { RUBBISH_RECORDS } from '../support/rubbish.ts'
import { TEST_SERVERS } from './servers.ts'

const Counter = z.object({ id: z.string(), count: z.number().int() })
type Counter = z.infer<typeof Counter>
const KEY = 'scission:counters'

describe.each(TEST_SERVERS)('documents on $name', ({ open, skip }) => {
  describe.skipIf(skip)('one collection, two processes', () => {
    let server: OpenRedis
    let connections: Redis[]
    const counters: Collection<Counter>[] = []
    const { log, lines } = recordedLog()
    const announced: string[] = []
    const one = () => counters[0]!
    const other = () => counters[1]!

    beforeAll(async () => {
      server = await open()
      connections = [
        workerConnection(server.url),
        workerConnection(server.url),
        producerConnection(server.url),
      ]
      counters.push(
        ...connections.slice(0, 2).map((redis) => new Collection(redis, 'counters', Counter, log)),
      )
      const subscriber = connections[2]!.duplicate({ enableOfflineQueue: true })
      connections.push(subscriber)
      subscriber.on('message', (_channel, text) => announced.push(text))
      await subscriber.subscribe(CHANGES_CHANNEL)
    })
    afterAll(async () => {
      for (const connection of connections) connection.disconnect()
      await server.close()
    })
    beforeEach(async () => {
      await connections[0]!.del(KEY)
      announced.length = 0
      lines.length = 0
    })

    it('lose no update, however many are made at once', async () => {
      const increment = (collection: Collection<Counter>) =>
        collection.update('c', (current) => ({ id: 'c', count: (current?.count ?? 0) + 1 }))
      await Promise.all(Array.from({ length: 40 }, (_, index) => increment(counters[index % 2]!)))
      expect(await one().get('c')).toEqual({ id: 'c', count: 40 })
      await eventually(() => expect(announced).toHaveLength(40))
    })

    it('are added once, and taken once', async () => {
      const all = await Promise.all(
        [0, 1, 2, 3].map((count) => counters[count % 2]!.add('c', { id: 'c', count })),
      )
      expect(all.filter((added) => added)).toHaveLength(1)
      const taken = await Promise.all([0, 1, 2, 3].map((index) => counters[index % 2]!.take('c')))
      expect(taken.filter((one) => one !== undefined)).toEqual([
        { document: { id: 'c', count: expect.any(Number) } },
      ])
      expect(await one().has('c')).toBe(false)
    })

    it('are left alone, removed, or kept by an update as its decision says', async () => {
      await one().put('c', { id: 'c', count: 1 })
      await eventually(() => expect(announced).toHaveLength(1))
      expect(await one().update('c', (current) => current)).toEqual({ id: 'c', count: 1 })
      expect(await one().update('d', (current) => current)).toBeUndefined()
      await expect(
        one().update('c', () => {
          throw new Error('refused')
        }),
      ).rejects.toThrow('refused')
      expect(announced).toHaveLength(1)
      expect(await other().update('c', () => undefined)).toBeUndefined()
      expect(await one().ids()).toEqual([])
      await eventually(() => expect(announced).toHaveLength(2))
    })

    it('announce a removal once, and none where there was nothing', async () => {
      await one().put('c', { id: 'c', count: 1 })
      expect([await one().delete('c'), await other().delete('c'), await one().take('c')]).toEqual([
        true,
        false,
        undefined,
      ])
      await eventually(() => expect(announced).toHaveLength(2))
      const changes = announced.map((text) => JSON.parse(text) as { kind: string; id: string })
      expect(changes.map(({ kind, id }) => `${kind} ${id}`)).toEqual(['counters c', 'counters c'])
    })

    for (const [what, rubbish] of Object.entries(RUBBISH_RECORDS)) {
      it(`that are ${what} are left out, named once in the log, and can be replaced and removed`, async () => {
        await one().put('good', { id: 'good', count: 1 })
        await connections[0]!.hset(KEY, 'bad', rubbish)
        for (let reading = 0; reading < 3; reading += 1)
          expect(await one().all()).toEqual([{ id: 'good', count: 1 }])
        expect(lines).toHaveLength(1)
        expect(lines[0]).toMatch(
          /^left out: counters bad in Redis is not what this version writes: [^\n]{1,310}$/,
        )
        await expect(one().get('bad')).rejects.toMatchObject({ code: 'notReady' })
        expect(await one().update('bad', (current) => current)).toBeUndefined()
        expect(await one().ids()).toEqual(['bad', 'good'])
        expect(await other().update('bad', (current) => ({ id: 'bad', count: current?.count ?? 7 }))).toEqual(
          {
            id: 'bad',
            count: 7,
          },
        )
        await connections[0]!.hset(KEY, 'bad', rubbish)
        expect(await one().take('bad')).toEqual({ document: undefined })
        expect(await one().ids()).toEqual(['good'])
      })
    }

    it('say so when their key holds something else than documents', async () => {
      await connections[0]!.set(KEY, 'a text')
      await expect(one().put('c', { id: 'c', count: 1 })).rejects.toThrow(/WRONGTYPE/)
      await expect(one().all()).rejects.toThrow(/WRONGTYPE/)
      await expect(one().update('c', (current) => current)).rejects.toThrow(/WRONGTYPE/)
    })
  })
})
