/** Threads for many clients: what one client has sent makes no other wait for all of it. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Asker } from '../../shared/platform/fair-queue.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { FairThreads } from '../../shared/platform/threads/fair-threads.ts'

let threads: FairThreads<unknown, unknown>
afterEach(() => threads.close())

const MANY: Asker = { client: 'many' }
const ONE: Asker = { client: 'one' }
/** Work that never ends. */
const HANG = { do: 'wait', gate: new SharedArrayBuffer(4) }

function open(limits: { waiting?: number; waitingOfClient?: number } = {}) {
  threads = new FairThreads({
    entry: new URL('./entries/echoing-worker.mjs', import.meta.url),
    name: 'the echoing thread',
    what: 'echoes',
    waiting: 8,
    waitingOfClient: 4,
    ...limits,
  })
  const codeOf = (error: unknown) => (error instanceof ScissionError ? error.code : error)
  return (asker: Asker, work: unknown) => threads.run(work, asker).catch(codeOf)
}

describe('fair threads', () => {
  it('work for another client while the pieces of one never end', async () => {
    const run = open()
    const endless = [1, 2, 3].map(() => run(MANY, HANG))
    expect(await run(ONE, {})).toMatchObject({ had: 1 })
    await threads.close()
    expect(await Promise.all(endless)).toEqual(['cancelled', 'cancelled', 'cancelled'])
  })

  it('keep the place of a piece whose client left until the thread is free', async () => {
    const run = open()
    const leaving = new AbortController()
    const left = run({ ...MANY, gone: leaving.signal }, HANG)
    const second = run(MANY, {})
    leaving.abort()
    expect(await run(ONE, {})).toMatchObject({ had: 1 })
    await threads.close()
    expect(await Promise.all([left, second])).toEqual(['cancelled', 'cancelled'])
  })

  it('refuse what is too much of one client, and of all', async () => {
    const run = open({ waiting: 2, waitingOfClient: 1 })
    const outcomes = [MANY, MANY, MANY, ONE, ONE, { client: 'third' }].map((asker) => run(asker, HANG))
    expect([await outcomes[2], await outcomes[5]]).toEqual(['tooManyRequests', 'overloaded'])
  })
})
