/** Revisions: every write counts, in the order of its announcement, and a Redis that lost its data begins anew. */
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { OpenRedis } from '../../infra/start/redis/open-redis.ts'
import { type Change, Changes } from '../../shared/platform/redis/changes.ts'
import { Collection } from '../../shared/platform/redis/collection.ts'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { parseAsked, parseRevision, readRevision } from '../../shared/platform/redis/revision.ts'
import { RevisionGate } from '../../shared/platform/redis/revision-gate.ts'
import { eventually } from '../support/eventually.ts'
import { TEST_SERVERS } from './servers.ts'

const Thing = z.object({ count: z.number() })
type Thing = z.infer<typeof Thing>

describe.each(TEST_SERVERS)('revisions on $name', ({ open, skip }) => {
  describe.skipIf(skip)('of two processes', () => {
    let server: OpenRedis
    let connections: Redis[]
    let changes: Changes
    const announced: Change[] = []
    const written: string[] = []
    const things: Collection<Thing>[] = []

    beforeAll(async () => {
      server = await open()
      connections = [workerConnection(server.url), workerConnection(server.url)]
      for (const redis of connections)
        things.push(
          new Collection(redis, 'things', Thing, undefined, ({ revision }) => written.push(revision)),
        )
      changes = new Changes(connections[0]!)
      const subscribed = new Promise<void>((resolve) => changes.once('resync', resolve))
      changes.on('change', (change) => announced.push(change))
      await subscribed
    })
    afterAll(async () => {
      changes.close()
      for (const connection of connections) connection.disconnect()
      await server.close()
    })
    beforeEach(async () => {
      await connections[0]!.flushall()
      announced.length = 0
      written.length = 0
    })

    it('count puts, updates, additions and removals, and none that changed nothing', async () => {
      const [one, other] = things
      await one!.put('a', { count: 1 })
      await other!.update('a', (now) => ({ count: (now?.count ?? 0) + 1 }))
      await one!.update('a', (now) => now)
      await other!.add('b', { count: 1 })
      await one!.add('b', { count: 2 })
      await one!.delete('a')
      await one!.delete('a')
      await other!.take('b')
      await eventually(() => expect(announced).toHaveLength(5))
      const numbers = announced.map(({ revision = '' }) => parseRevision(revision)?.number)
      expect(numbers).toEqual([1, 2, 3, 4, 5])
      expect(written).toEqual(announced.map(({ revision }) => revision))
      expect(await readRevision(connections[1]!)).toEqual(parseRevision(written[4] ?? ''))
    })

    it('are one for each of many writes at once, announced in their order', async () => {
      const writes = Array.from({ length: 60 }, (_, at) => things[at % 2]!.put(`t${at % 7}`, { count: at }))
      await Promise.all(writes)
      await eventually(() => expect(announced).toHaveLength(60))
      const numbers = announced.map(({ revision = '' }) => parseRevision(revision)?.number)
      expect(numbers).toEqual(Array.from({ length: 60 }, (_, at) => at + 1))
      expect(new Set(written).size).toBe(60)
    })

    it('of a Redis that lost its data have another epoch', async () => {
      expect(await readRevision(connections[0]!)).toBeUndefined()
      await things[0]!.put('a', { count: 1 })
      const before = await readRevision(connections[0]!)
      await connections[0]!.flushall()
      // By the same process too: it may be the first that writes after each loss.
      await things[0]!.put('a', { count: 1 })
      const after = await readRevision(connections[1]!)
      expect([before?.number, after?.number]).toEqual([1, 1])
      expect(after?.epoch).not.toBe(before?.epoch)
    })
  })
})

describe('a gate', () => {
  const at = (number: number, epoch = 'a1') => ({ epoch, number })

  it('lets a request pass once the copy has come as far as it asks', async () => {
    const gate = new RevisionGate(async () => at(7))
    gate.advance(at(4))
    await gate.reach(at(4))
    const passed: string[] = []
    const asked = (['latest', at(6)] as const).map((revision, which) =>
      gate.reach(revision).then(() => passed.push(`${which}`)),
    )
    gate.advance(at(5))
    gate.advance(at(6))
    await eventually(() => expect(passed).toEqual(['1']))
    gate.advance(at(7))
    await Promise.all(asked)
    expect(passed).toEqual(['1', '0'])
  })

  it('does not go back', () => {
    const gate = new RevisionGate(async () => at(7))
    gate.advance(at(4))
    gate.advance(at(3))
    expect(gate.revision).toEqual(at(4))
  })

  it('does not wait for what Redis has lost, but for what it has now', async () => {
    let newest: ReturnType<typeof at> | undefined = at(3, 'b2')
    const gate = new RevisionGate(async () => newest)
    gate.advance(at(90))
    let passed = false
    const asked = gate.reach(at(95)).then(() => (passed = true))
    gate.advance(at(91))
    await new Promise((resolve) => setImmediate(resolve))
    expect(passed).toBe(false)
    gate.advance(at(3, 'b2'))
    await asked
    // A Redis that was restored from an older copy of the same epoch.
    newest = at(2, 'b2')
    await gate.reach(at(50, 'b2'))
    newest = undefined
    await gate.reach(at(51, 'b2'))
  })

  it('tells what it has seen if nothing comes', async () => {
    const gate = new RevisionGate(async () => at(9), 20)
    gate.advance(at(8))
    await expect(gate.reach(at(9))).rejects.toMatchObject({
      code: 'deadlineExceeded',
      details: { wanted: 'a1.9', seen: 'a1.8' },
    })
  })

  it.each(['', '7', 'latest ', 'a1.', 'a1.-3', 'xyz.4', 'a1.9999999999999999'])('refuses %j', (text) => {
    expect(() => parseAsked(text)).toThrow(/Scission-At-Least-Revision.*latest/)
  })
})
