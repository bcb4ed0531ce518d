/** Whether Redis is older than it was, for processes whose looks, writes and messages overtake each other. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Link } from '../../shared/contracts/resource.ts'
import { Collection } from '../../shared/platform/redis/collection.ts'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { RedisAge } from '../../shared/platform/redis/redis-age.ts'
import { parseRevision, readRevision } from '../../shared/platform/redis/revision.ts'
import { eventually } from '../support/eventually.ts'
import { exampleLink } from '../support/fixtures.ts'
import { PersistentRedis, REAL_SERVER } from './persistent-server.ts'

if (REAL_SERVER === undefined) console.log('skipped: no valkey-server or redis-server on the PATH')

describe.skipIf(REAL_SERVER === undefined)('the age of a Redis that is started again', () => {
  let redis: PersistentRedis
  const connections: ReturnType<typeof workerConnection>[] = []

  /** A process: it writes, it looks, and it counts how often it found Redis older. */
  function open() {
    const connection = workerConnection(redis.url)
    connections.push(connection)
    const age = new RedisAge(connection)
    const hear = (revision: string) => {
      const parsed = parseRevision(revision)
      if (parsed) age.heard(parsed)
    }
    const links = new Collection(connection, 'links', Link, undefined, ({ revision }) => hear(revision))
    const found = { older: 0 }
    const older = async () => void (found.older += 1)
    return {
      connection,
      age,
      found,
      look: () => age.look(older),
      write: () => links.put('a>b', exampleLink('device', 'edge')),
    }
  }

  beforeEach(async () => {
    redis = await PersistentRedis.start()
  })
  afterEach(async () => {
    for (const connection of connections.splice(0)) connection.disconnect()
    await redis.close()
  })

  it('is noticed in a look that was under way when Redis went down, however many are written since', async () => {
    const late = open()
    await late.write()
    const snapshot = redis.snapshot()
    await late.write()
    await late.look()
    let goOn = (): void => undefined
    const others = new Promise<void>((resolve) => (goOn = resolve))
    const ask = late.connection.eval.bind(late.connection)
    vi.spyOn(late.connection, 'eval').mockImplementationOnce(async (...given: Parameters<typeof ask>) => {
      await others
      return ask(...given)
    })
    const looking = late.look()
    await redis.kill()
    await redis.startAgain(snapshot)
    const other = open()
    for (let count = 0; count < 3; count += 1) await other.write()
    await other.look()
    goOn()
    await looking
    expect([late.found.older, other.found.older]).toEqual([1, 0])
    await late.look()
    expect(late.found.older).toBe(1)
  })

  it('is noticed although as many as were lost are written before anybody looks', async () => {
    const [first, second] = [open(), open()]
    await first.write()
    await second.look()
    const snapshot = redis.snapshot()
    await first.write()
    await second.look()
    await redis.kill()
    // They wait for the connection, and run as soon as it is there.
    const waiting = [first.write(), first.write(), first.write()]
    await redis.startAgain(snapshot)
    await Promise.all(waiting)
    await second.look()
    expect(second.found.older).toBe(1)
  })

  it('is no older for a process that hears of the writes of others before it is connected again', async () => {
    const [first, second] = [open(), open()]
    await first.write()
    await second.look()
    second.connection.disconnect()
    await eventually(() => expect(second.connection.status).toBe('end'))
    await redis.kill()
    await redis.startAgain()
    await first.write()
    // Heard on another connection than the one that looks.
    const revision = await readRevision(first.connection)
    if (revision) second.age.heard(revision)
    await second.connection.connect()
    await second.look()
    await first.look()
    expect([revision?.number, first.found.older, second.found.older]).toEqual([2, 0, 0])
  })
})
