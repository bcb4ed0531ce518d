import http from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { type Listening, listen } from '../../shared/platform/http-server/listen.ts'
import {
  eventId,
  type EventStream,
  followStates,
  openEventStream,
  type StateEvent,
} from '../../shared/platform/http-server/server-sent-events.ts'
import { connectAfter } from '../support/event-source.ts'
import { call } from '../inference/support/service.ts'
import { eventApp } from '../support/event-app.ts'

const WAIT = { timeout: 20_000 }

let listening: Listening | undefined
afterEach(() => listening?.close())

/** A service whose stream is given to `open`. */
async function serveStream(open: (stream: EventStream) => void) {
  const app = eventApp((req, res) => open(openEventStream(req, res, { name: 'tick', data: {}, last: false })))
  listening = await listen(app, 0, '127.0.0.1')
  return `${listening.url}/v1/events`
}

describe('what is told beside the states', () => {
  it('has no id, and a client that reads slowly gets the latest of each thing', async () => {
    let told: EventStream | undefined
    const url = await serveStream((stream) => (told = stream))
    const padding = 'x'.repeat(10_000)
    let text = ''
    const request = http.get(url, (res) => {
      res.pause()
      for (let i = 0; i < 5000; i += 1) told?.tell(`thing ${i % 2}`, 'noted', { i, padding })
      res.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      res.resume()
    })
    const numbers = () => [...text.matchAll(/"i":(\d+)/g)].map(([, i]) => Number(i))
    await expect.poll(() => numbers().includes(4998) && numbers().includes(4999), WAIT).toBe(true)
    // Not all of 50 MB waited in memory.
    expect(numbers().length).toBeLessThan(2500)
    expect(numbers()).toEqual(numbers().toSorted((a, b) => a - b))
    expect(text).not.toMatch(/^id:/m)
    request.destroy()
  })
})

/** A service whose one stream tells of what `read` returns, which `changed` announces. */
async function serve(read: () => StateEvent) {
  let wake = () => {}
  const failures: unknown[] = []
  const app = eventApp((req, res) => {
    const stream = openEventStream(req, res, read())
    const nextChange = () => new Promise<void>((resolve) => (wake = resolve))
    stream.closed.addEventListener('abort', () => wake())
    void followStates(
      stream,
      async () => read(),
      nextChange,
      (error) => failures.push(error),
    )
  })
  listening = await listen(app, 0, '127.0.0.1')
  return { url: `${listening.url}/v1/events`, changed: () => wake(), failures }
}

const state = (n: number, last = false): StateEvent => ({ name: last ? 'end' : 'step', data: { n }, last })

describe('a stream of states', () => {
  it('keeps few states for a client that does not read, and then sends the present one', async () => {
    let n = 0
    let reads = 0
    const { url, changed } = await serve(() => {
      reads += 1
      return { name: 'step', data: { n, ballast: 'x'.repeat(1_000_000) }, last: n === 200 }
    })
    const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
      http.get(url, { agent: false }, resolve).on('error', reject)
    })
    answer.pause()
    while (n < 200) {
      n += 1
      changed()
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    expect(reads).toBeLessThan(100)
    const numbers: number[] = []
    let text = ''
    for await (const chunk of answer.setEncoding('utf8')) text += String(chunk)
    for (const [, found] of text.matchAll(/data: \{"n":(\d+)/g)) numbers.push(Number(found))
    expect(numbers.at(-1)).toBe(200)
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
  })

  it('goes on after a read that failed', async () => {
    let present: StateEvent | Error = state(1)
    const { url, changed, failures } = await serve(() => {
      if (present instanceof Error) throw present
      return present
    })
    const reading = connectAfter(url, '')
    await new Promise((resolve) => setTimeout(resolve, 100))
    present = new Error('Redis is away')
    changed()
    await expect.poll(() => failures.length).toBe(1)
    present = state(2, true)
    changed()
    expect((await reading).body.toString()).toMatch(
      /data: \{"n":1\}\n\n(.|\n)*event: end\ndata: \{"n":2\}\n\n$/,
    )
  })

  it('sends a client nothing that it has, and 204 after the last', async () => {
    let present = state(1)
    const { url, changed } = await serve(() => present)
    const after = (had: StateEvent) => connectAfter(url, eventId(had))
    const reading = after(state(1))
    await new Promise((resolve) => setTimeout(resolve, 100))
    present = state(2, true)
    changed()
    const text = (await reading).body.toString()
    expect([text.includes('"n":1'), text.includes('"n":2')]).toEqual([false, true])
    expect(await after(state(2, true))).toMatchObject({ status: 204, body: Buffer.alloc(0) })
    expect((await after(state(1))).body.toString()).toContain('event: end')
    // Another end than the one that it would be sent, as of another thing: this one was not delivered.
    expect((await after(state(3, true))).body.toString()).toContain('"n":2')
    expect((await call('HEAD', url)).status).toBe(200)
  })
})
