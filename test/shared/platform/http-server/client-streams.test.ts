/** How many streams of events a client may have open. */
import { afterEach, describe, expect, it } from 'vitest'
import { ClientStreams } from '../../../../shared/platform/http-server/client-streams.ts'
import { type Listening, listen } from '../../../../shared/platform/http-server/listen.ts'
import { openEventStream } from '../../../../shared/platform/http-server/server-sent-events.ts'
import { closeRawSockets, rawSocket } from '../../../support/raw-socket.ts'
import { eventApp } from '../../../support/event-app.ts'

const WAIT = { timeout: 20_000, interval: 20 }
const GET = 'GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n'

let listening: Listening | undefined
afterEach(async () => {
  closeRawSockets()
  await listening?.close()
})

async function serve(max: number): Promise<string> {
  const streams = new ClientStreams(max)
  const app = eventApp((req, res) => {
    openEventStream(req, res, { name: 'tick', data: {}, last: false }, streams)
  })
  listening = await listen(app, 0, '127.0.0.1')
  return listening.url
}

describe('streams of events', () => {
  it('of one client are bounded: one more is told 429, and has its place when another one has left', async () => {
    const url = await serve(2)
    const [first, second] = await Promise.all([rawSocket(url, GET), rawSocket(url, GET)])
    for (const { heard } of [first, second]) await expect.poll(heard, WAIT).toMatch(/^HTTP\/1.1 200/)
    const third = await rawSocket(url, GET)
    await expect
      .poll(third.heard, WAIT)
      .toMatch(/^HTTP\/1.1 429 .*Retry-After: 1.*SCISSION_MAX_CLIENT_STREAMS/s)
    first.socket.destroy()
    const next = async () => {
      const { heard } = await rawSocket(url, GET)
      await expect.poll(heard, WAIT).toMatch(/^HTTP/)
      return heard()
    }
    await expect.poll(next, WAIT).toMatch(/^HTTP\/1.1 200/)
    expect(second.isClosed()).toBe(false)
  })
})
