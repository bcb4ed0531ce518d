/** Work in a thread of its own: bounded, given up for who left, and lost one piece at a time. */
import { afterEach, describe, expect, it } from 'vitest'
import { WorkThread, type WorkThreadOptions } from '../../shared/platform/threads/work-thread.ts'
import { until } from '../support/eventually.ts'

interface Work {
  do?: 'wait' | 'fail' | 'die'
  gate?: SharedArrayBuffer
  bytes?: ArrayBuffer
}
interface Result {
  had: number
  bytes: number | undefined
}

let thread: WorkThread<Work, Result>
const open = (options: Partial<WorkThreadOptions> = {}) => {
  thread = new WorkThread({
    entry: new URL('./entries/echoing-worker.mjs', import.meta.url),
    name: 'the thread that echoes',
    maxPieces: 4,
    busy: (waiting) => `${waiting} wait`,
    ...options,
  })
  return thread
}
afterEach(() => thread.close())

/** Work that takes until it is let go. */
function held(): { work: Work; letGo: () => void } {
  const gate = new SharedArrayBuffer(4)
  const letGo = () => {
    Atomics.store(new Int32Array(gate), 0, 1)
    Atomics.notify(new Int32Array(gate), 0)
  }
  return { work: { do: 'wait', gate }, letGo }
}

describe('a work thread', () => {
  it('does one piece after another, moves what it is given, and passes on what the work throws', async () => {
    open()
    const bytes = new ArrayBuffer(8)
    expect(await thread.run({ bytes }, { transfer: [bytes] })).toEqual({ had: 1, bytes: 8 })
    expect(bytes.byteLength).toBe(0)
    await expect(thread.run({ do: 'fail' })).rejects.toMatchObject({
      code: 'badRequest',
      message: 'no',
      details: { at: 1 },
    })
  })

  it('refuses what is too much, and only that', async () => {
    open()
    const { work, letGo } = held()
    const done = [thread.run(work), thread.run({}), thread.run({}), thread.run({})]
    await expect(thread.run({})).rejects.toMatchObject({ code: 'overloaded', message: '4 wait' })
    letGo()
    expect((await Promise.all(done)).map(({ had }) => had)).toEqual([1, 2, 3, 4])
  })

  it('begins nothing for who left, keeps what would have moved, and goes on with the others', async () => {
    open()
    const { work, letGo } = held()
    const [under, waiting] = [new AbortController(), new AbortController()]
    const bytes = new ArrayBuffer(8)
    const first = thread.run(work, { signal: under.signal })
    const second = thread.run({ bytes }, { transfer: [bytes], signal: waiting.signal })
    const third = thread.run({})
    under.abort()
    waiting.abort()
    await expect(first).rejects.toMatchObject({ code: 'cancelled' })
    await expect(second).rejects.toMatchObject({ code: 'cancelled' })
    expect(bytes.byteLength).toBe(8)
    letGo()
    // The one that was under way, and this.
    expect(await third).toMatchObject({ had: 2 })
    await expect(thread.run({}, { signal: waiting.signal })).rejects.toMatchObject({ code: 'cancelled' })
  })

  it('fails what was under way when it dies, and does the rest in another', async () => {
    open()
    const outcomes = [thread.run({ do: 'die' }), thread.run({})]
    await expect(outcomes[0]).rejects.toMatchObject({
      code: 'internal',
      message: 'the thread that echoes ended; send the request again',
    })
    expect(await outcomes[1]).toMatchObject({ had: 1 })
  })

  it('fails what cannot be sent, and does the rest', async () => {
    open()
    const unsendable = { bytes: (() => 1) as unknown as ArrayBuffer }
    const outcomes = [thread.run(unsendable), thread.run({}), thread.run(unsendable), thread.run({})]
    const ends = await Promise.allSettled(outcomes)
    expect(ends).toMatchObject([
      { reason: { code: 'internal', message: expect.stringContaining('could not be cloned') } },
      { value: { had: 1 } },
      { reason: { code: 'internal' } },
      { value: { had: 2 } },
    ])
  })

  it('gives up what takes too long, and ends when there is nothing to do', async () => {
    open({ longest: { ms: 3000, message: 'too long' }, idleMs: 50 })
    await expect(thread.run(held().work)).rejects.toMatchObject({
      code: 'deadlineExceeded',
      message: 'too long',
    })
    expect(await thread.run({})).toMatchObject({ had: 1 })
    await until(async () => !thread.running)
    expect(await thread.run({})).toMatchObject({ had: 1 })
  })
})
