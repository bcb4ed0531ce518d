import { describe, expect, it } from 'vitest'
import { FairQueue, type FairQueueLimits } from '../../shared/platform/fair-queue.ts'

/** A queue whose pieces end when the test says so. */
function queueOf(limits: Partial<FairQueueLimits> = {}) {
  const queue = new FairQueue({ what: 'pieces', atOnce: 2, waiting: 10, waitingOfClient: 4, ...limits })
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const ask = (name: string, gone?: AbortSignal) =>
    queue.run({ client: name[0] ?? '', gone }, async () => {
      begun.push(name)
      await new Promise<void>((resolve) => ends.set(name, resolve))
      return name
    })
  const end = async (name: string) => {
    ends.get(name)?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { ask, begun, end }
}
const ignored = (work: Promise<unknown>) => void work.catch(() => undefined)

describe('a fair queue', () => {
  it('begins a piece of another client at once, whatever one client has asked for before', async () => {
    const { ask, begun } = queueOf()
    for (const name of ['a1', 'a2', 'a3', 'a4']) ignored(ask(name))
    ignored(ask('b1'))
    await Promise.resolve()
    expect(begun).toEqual(['a1', 'b1'])
  })

  it('goes from client to client', async () => {
    const { ask, begun, end } = queueOf({ atOnce: 1 })
    for (const name of ['a1', 'a2', 'a3', 'b1', 'b2', 'c1']) ignored(ask(name))
    await Promise.resolve()
    for (const name of ['a1', 'b1', 'a2', 'c1', 'b2', 'a3']) await end(name)
    expect(begun).toEqual(['a1', 'b1', 'a2', 'c1', 'b2', 'a3'])
  })

  it('refuses what is too much of one client, and of all', async () => {
    const { ask } = queueOf({ waiting: 5 })
    const asked = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'b1', 'b2', 'c1'].map((name) => ask(name))
    for (const work of asked) ignored(work)
    await expect(asked[5]).rejects.toMatchObject({ code: 'tooManyRequests', status: 429 })
    await expect(asked[8]).rejects.toMatchObject({ code: 'overloaded', status: 503 })
  })

  it('drops a piece whose client has left, and goes on after one that failed', async () => {
    const { ask, begun, end } = queueOf({ atOnce: 1 })
    const leaving = new AbortController()
    ignored(ask('a1'))
    const dropped = ask('b1', leaving.signal)
    const last = ask('c1')
    leaving.abort()
    await expect(dropped).rejects.toMatchObject({ code: 'cancelled' })
    await expect(ask('d1', leaving.signal)).rejects.toMatchObject({ code: 'cancelled' })
    await end('a1')
    await end('c1')
    expect([begun, await last]).toEqual([['a1', 'c1'], 'c1'])
    const queue = new FairQueue({ what: 'x', atOnce: 1, waiting: 1, waitingOfClient: 1 })
    await expect(queue.run({ client: 'a' }, () => Promise.reject(new Error('bad')))).rejects.toThrow('bad')
    expect(await queue.run({ client: 'a' }, async () => 1)).toBe(1)
  })
})
