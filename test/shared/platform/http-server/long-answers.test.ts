/** Long answers in JSON are the same bytes as in one go, but others get their turn while they are written. */
import { describe, expect, it } from 'vitest'
import { nextTurn, PIECE_CHARACTERS } from '../../../../shared/platform/turns.ts'
import { listen } from '../../../../shared/platform/http-server/listen.ts'
import { reply, route } from '../../../../shared/platform/http-server/route.ts'
import { exampleApp } from '../../../support/example-app.ts'
import { startedOnce } from '../../../support/started.ts'
import { turnsDuring } from '../../../support/turns-during.ts'

const long = {
  name: 'long',
  items: Array.from({ length: 60_000 }, (_, index) => ({
    index,
    name: `item "${index}" ü`,
    none: undefined,
  })),
  next: undefined,
}
const BODIES: Record<string, unknown> = {
  long,
  short: { items: [1, 2, undefined], none: undefined },
  list: [1, 2],
  nothing: null,
  empty: {},
}
const TEXT = JSON.stringify(long)
/** One in each piece of what is written. */
const COUNTED = 500
let written = 0
let onFirst = () => {}
const counted = {
  items: Array.from({ length: COUNTED }, () => ({
    toJSON: () => {
      written += 1
      if (written === 1) onFirst()
      return 'x'.repeat(PIECE_CHARACTERS)
    },
  })),
}

const get = (path: string, handle: () => unknown) =>
  route({
    method: 'get',
    path,
    id: path.slice(1),
    access: 'read',
    summary: path,
    alone: true,
    answers: {},
    handle,
  })
const service = startedOnce(
  () =>
    listen(
      exampleApp([
        ...Object.entries(BODIES).map(([name, body]) => get(`/${name}`, () => body)),
        get('/counted', () => counted),
        get('/replied', () => reply(201, long, { Location: '/long' })),
      ]),
      0,
      '127.0.0.1',
    ),
  (listening) => listening.close(),
)

describe('an answer in JSON', () => {
  it('is what JSON.stringify writes, with its length and type, whether long or short', async () => {
    for (const [name, body] of Object.entries(BODIES)) {
      const answer = await fetch(`${service().url}/${name}`)
      const text = await answer.text()
      expect(text).toBe(JSON.stringify(body))
      expect(answer.headers.get('content-length')).toBe(String(Buffer.byteLength(text)))
      expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
    }
  })

  it('that is long keeps its status and headers, and has a head alone', async () => {
    const answer = await fetch(`${service().url}/replied`)
    expect([answer.status, answer.headers.get('location')]).toEqual([201, '/long'])
    expect(await answer.text()).toBe(TEXT)
    const head = await fetch(`${service().url}/long`, { method: 'HEAD' })
    expect(head.headers.get('content-length')).toBe(String(Buffer.byteLength(TEXT)))
    expect(await head.text()).toBe('')
  })

  it('that is long lets others have their turn after each piece', async () => {
    // Its head comes once it is written: what a client does to read the rest would count as well.
    const { turns, value } = await turnsDuring(() => fetch(`${service().url}/long`))
    expect(await value.text()).toBe(TEXT)
    expect(turns).toBeGreaterThan(TEXT.length / PIECE_CHARACTERS - 2)
  })

  it('is not written to its end for a client that has left', async () => {
    const stop = new AbortController()
    onFirst = () => stop.abort()
    await expect(fetch(`${service().url}/counted`, { signal: stop.signal })).rejects.toThrow('aborted')
    // This one has its turns after as many of the other.
    expect(await (await fetch(`${service().url}/long`)).text()).toBe(TEXT)
    await nextTurn()
    const before = written
    for (let turn = 0; turn < 10; turn += 1) await nextTurn()
    expect([before, written]).toEqual([written, before])
    expect(written).toBeLessThan(COUNTED)
  })

  it('whose client leaves in the middle harms nobody', async () => {
    for (let one = 0; one < 5; one += 1) {
      const stop = new AbortController()
      const answer = await fetch(`${service().url}/long`, { signal: stop.signal })
      await answer.body?.getReader().read()
      stop.abort()
    }
    expect(await (await fetch(`${service().url}/long`)).text()).toBe(TEXT)
  })
})
