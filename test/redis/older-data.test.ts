/** Redis comes back with older data than it had: a crash between two snapshots. What was written since is noticed as lost. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { readRevision } from '../../shared/platform/redis/revision.ts'
import { linkId, openState, type State } from '../../shared/platform/redis/state.ts'
import { eventually } from '../support/eventually.ts'
import { exampleLink } from '../support/fixtures.ts'
import { PersistentRedis, REAL_SERVER } from './persistent-server.ts'

if (REAL_SERVER === undefined) console.log('skipped: no valkey-server or redis-server on the PATH')

const linkOf = (from: string) => exampleLink(from, 'edge')
const idOf = (from: string) => linkId(from, 'edge')

describe.skipIf(REAL_SERVER === undefined)('a Redis that is started again', () => {
  let redis: PersistentRedis
  const states: State[] = []
  const notes: string[] = []

  beforeAll(async () => {
    redis = await PersistentRedis.start()
  })
  afterAll(async () => {
    for (const { redis: connection } of states) connection.disconnect()
    await redis.close()
  })

  /** A process that knows one link and writes it back. */
  function open(id: string, known?: string): State {
    const state = openState(workerConnection(redis.url))
    states.push(state)
    state.memory.watch({
      everyMs: 50,
      known,
      restore: async () => ({
        restored: { links: (await state.links.restore(idOf(id), linkOf(id))) ? 1 : 0 },
        notRestored: [],
      }),
      onKnown: async (note) => void notes.push(note),
    })
    return state
  }

  async function crash(snapshot?: string): Promise<void> {
    await redis.kill()
    await redis.startAgain(snapshot)
  }

  it('with older data gets back what every process knew, in another epoch', async () => {
    const writer = open('written')
    const reader = open('read')
    await eventually(() => expect([writer.memory.note, reader.memory.note]).not.toContain(undefined))
    await writer.links.put(idOf('before'), linkOf('before'))
    const snapshot = redis.snapshot()
    const before = await readRevision(writer.redis)
    await writer.links.put(idOf('written'), linkOf('written'))
    await crash(snapshot)
    // Another one that writes at once does not hide how old it is.
    const other = open('other')
    await eventually(() => other.memory.look())
    for (let i = 0; i < 5; i += 1) await other.links.put(idOf('before'), linkOf('before'))
    await eventually(async () => {
      expect(await writer.links.ids()).toEqual(
        expect.arrayContaining(['before', 'written', 'read'].map(idOf)),
      )
    })
    const after = await readRevision(writer.redis)
    expect(after?.epoch).not.toBe(before?.epoch)
    for (const { memory } of [writer, reader]) {
      await eventually(() => expect(memory.lost).toBeDefined())
      expect(memory.lost?.notRestored.join()).toContain('after the data with which Redis came back')
    }
  })

  it('with all its data loses nothing, and says so of nothing', async () => {
    const state = open('after')
    await eventually(() => expect(state.memory.note).toBeDefined())
    await state.links.put(idOf('after'), linkOf('after'))
    await state.links.delete(idOf('after'))
    const before = await readRevision(state.redis)
    await crash()
    for (let i = 0; i < 3; i += 1) await eventually(() => state.memory.look())
    expect(state.memory.lost).toBeUndefined()
    expect((await readRevision(state.redis))?.epoch).toBe(before?.epoch)
    expect(await state.links.has(idOf('after'))).toBe(false)
  })

  it('while a process was away is known to that one by its note', async () => {
    const first = open('first')
    await eventually(() => expect(first.memory.note).toBeDefined())
    const snapshot = redis.snapshot()
    await first.links.put(idOf('first'), linkOf('first'))
    const { note } = first.memory
    // All processes end with Redis, as if the power failed.
    for (const state of states.splice(0)) {
      state.memory.close()
      state.redis.disconnect()
    }
    await crash(snapshot)
    const again = open('first', note)
    await eventually(async () => expect(await again.links.has(idOf('first'))).toBe(true))
    // The same note is right as long as Redis is not started again.
    const second = open('second', again.memory.note)
    await eventually(() => second.memory.look())
    expect(await second.links.has(idOf('second'))).toBe(false)
  })
})
