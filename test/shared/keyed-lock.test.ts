/** One piece of work at a time per key, whatever fails and whoever gives up waiting. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KeyedLock } from '../../shared/platform/keyed-lock.ts'

const jobs = fc.array(
  fc.record({ key: fc.constantFrom('a', 'b'), fails: fc.boolean(), leaves: fc.boolean() }),
  { maxLength: 10 },
)

describe('a keyed lock', () => {
  it('runs one piece of work at a time per key, in order, whatever fails and whoever gives up', async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), jobs, async (scheduler, list) => {
        const lock = new KeyedLock()
        const running = new Set<string>()
        const faults: string[] = []
        const asked: number[] = []
        const order: number[] = []
        const done = list.map(async ({ key, fails, leaves }, index) => {
          await scheduler.schedule(Promise.resolve(), `ask ${index}`)
          asked.push(index)
          const leaving = new AbortController()
          if (leaves) void scheduler.schedule(Promise.resolve(), 'leave').then(() => leaving.abort())
          const work = async () => {
            if (running.has(key)) faults.push(`two at once under ${key}`)
            running.add(key)
            order.push(index)
            await scheduler.schedule(Promise.resolve(), `work ${index}`)
            running.delete(key)
            if (fails) throw new Error('failed')
          }
          await lock.run(key, work, leaving.signal)
        })
        const outcomes = Promise.allSettled(done)
        await scheduler.waitIdle()
        const ended = await outcomes
        expect(faults).toEqual([])
        ended.forEach((outcome, index) => {
          const { fails, leaves } = list[index] ?? {}
          if (!leaves) expect(outcome.status).toBe(fails ? 'rejected' : 'fulfilled')
        })
        for (const wanted of ['a', 'b']) {
          const own = order.filter((index) => list[index]?.key === wanted)
          expect(own).toEqual(asked.filter((index) => own.includes(index)))
        }
      }),
      { numRuns: 500 },
    )
  })

  it('lets nobody in early when the last one in the queue gives up', async () => {
    const lock = new KeyedLock()
    let end = () => {}
    const first = lock.run('file', () => new Promise<void>((resolve) => (end = resolve)))
    const leaving = new AbortController()
    const second = lock.run('file', async () => {}, leaving.signal)
    leaving.abort(new Error('gone'))
    await expect(second).rejects.toThrow('gone')
    let entered = false
    const third = lock.run('file', async () => {
      entered = true
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(entered).toBe(false)
    end()
    await Promise.all([first, third])
    expect(entered).toBe(true)
  })

  it('does not begin for a caller who left before', async () => {
    const lock = new KeyedLock()
    await expect(
      lock.run('a', () => Promise.reject(new Error('ran')), AbortSignal.abort(new Error('left'))),
    ).rejects.toThrow('left')
  })
})
