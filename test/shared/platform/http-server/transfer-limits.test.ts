/** What clients may take of a server by being slow: bodies that do not end, answers that are not read. */
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type Listening, listen } from '../../../../shared/platform/http-server/listen.ts'
import type { ServerLimits } from '../../../../shared/platform/http-server/server-limits.ts'
import { route } from '../../../../shared/platform/http-server/route.ts'
import { COMMON_SETTINGS, readConfig } from '../../../../shared/platform/service/service-config.ts'
import { JSON_TYPE } from '../../../support/json-type.ts'
import { closeRawSockets, rawSocket } from '../../../support/raw-socket.ts'
import { exampleApp } from '../../../support/example-app.ts'

const WAIT = { timeout: 20_000, interval: 20 }
const MIB = 1024 * 1024

let listening: Listening | undefined
afterEach(async () => {
  closeRawSockets()
  await listening?.close()
})

/** The long answer, in one piece. */
const ANSWER_BYTES = 32 * MIB
/** Connections of long answers that the server has closed. */
let ended = { count: 0 }

async function serve(limits: Partial<ServerLimits>): Promise<string> {
  const own = { count: 0 }
  ended = own
  const app = exampleApp([
    route({
      method: 'post',
      path: '/v1/things',
      id: 'makeThing',
      access: 'anyone',
      summary: 'make a thing',
      body: z.object({ text: z.string() }),
      answers: {},
      handle: ({ body }) => ({ length: body.text.length }),
    }),
    route({
      method: 'get',
      path: '/v1/long',
      id: 'readLong',
      access: 'anyone',
      summary: 'a long answer',
      answers: {},
      handle: (_input, req, res) => {
        req.socket.once('close', () => (own.count += 1))
        res.setHeader('Content-Length', ANSWER_BYTES)
        res.end(Buffer.alloc(ANSWER_BYTES))
      },
    }),
  ])
  listening = await listen(app, 0, '127.0.0.1', '/', { ...readConfig(COMMON_SETTINGS, {}), ...limits })
  return listening.url
}

const post = (length: number) => `POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`
const made = (url: string) =>
  fetch(`${url}/v1/things`, { method: 'POST', headers: JSON_TYPE, body: '{"text":"abc"}' }).then((answer) =>
    answer.json(),
  )

describe('a body', () => {
  it('that never ends is answered 408 with the reason, and closed; others are served meanwhile', async () => {
    const url = await serve({ transferWindowMs: 400 })
    const silent = await rawSocket(url, `${post(100)}{"text":`)
    const other = await rawSocket(url, post(100))
    expect(await made(url)).toEqual({ length: 3 })
    for (const { heard, isClosed } of [silent, other]) {
      await expect.poll(heard, WAIT).toMatch(/^HTTP\/1.1 408 .*"code":"requestTimeout"/s)
      await expect.poll(isClosed, WAIT).toBe(true)
    }
    expect(silent.heard()).toMatch(/the body stopped arriving: nothing came for 400 ms/)
  })

  it('of which a byte comes now and then is answered 408', async () => {
    const url = await serve({ transferWindowMs: 400 })
    const { socket, heard } = await rawSocket(url, post(100_000))
    const trickle = setInterval(() => socket.write('x'), 50)
    await expect.poll(heard, WAIT).toMatch(/408 .*only \d+ bytes came for 400 ms/s)
    clearInterval(trickle)
  })

  it('is answered 408 once its deadline is over, however fast it comes', async () => {
    const url = await serve({ bodyDeadlineMs: 600 })
    const { socket, heard } = await rawSocket(url, post(1_000_000))
    const steady = setInterval(() => socket.write('x'.repeat(1000)), 20)
    await expect.poll(heard, WAIT).toMatch(/408 .*not here within 600 ms/s)
    clearInterval(steady)
  })

  it('that comes slowly but steadily is taken', async () => {
    const url = await serve({ transferWindowMs: 2000, minBytesPerSecond: 100 })
    const text = 'x'.repeat(6000)
    const body = JSON.stringify({ text })
    const { socket, heard } = await rawSocket(url, post(body.length))
    for (let at = 0; at < body.length; at += 200) {
      socket.write(body.slice(at, at + 200))
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    await expect.poll(heard, WAIT).toMatch(/^HTTP\/1.1 200 .*"length":6000/s)
  })

  it('that goes on behind its answer does not keep the connection', async () => {
    const url = await serve({ transferWindowMs: 400 })
    const { socket, heard, isClosed } = await rawSocket(
      url,
      'POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n',
    )
    const steady = setInterval(() => socket.write('x'.repeat(1000)), 20)
    await expect.poll(heard, WAIT).toMatch(/^HTTP\/1.1 404/)
    await expect.poll(isClosed, WAIT).toBe(true)
    clearInterval(steady)
  })
})

describe('an answer', () => {
  const GET = 'GET /v1/long HTTP/1.1\r\nHost: x\r\n\r\n'

  it('that nobody reads is closed; a client that reads in steps gets all of its own', async () => {
    const url = await serve({ transferWindowMs: 600 })
    const unread = await rawSocket(url, GET, false)
    const slow = await rawSocket(url, GET, false)
    // One piece at a time, for several times as long as an answer may stand still.
    slow.socket.on('data', () => {
      slow.socket.pause()
      setTimeout(() => slow.socket.resume(), 5)
    })
    slow.socket.resume()
    await expect.poll(() => ended.count, WAIT).toBe(1)
    unread.socket.resume()
    await expect.poll(unread.isClosed, WAIT).toBe(true)
    expect(unread.bytes()).toBeLessThan(ANSWER_BYTES)
    await expect.poll(slow.bytes, WAIT).toBeGreaterThan(ANSWER_BYTES)
    expect(ended.count).toBe(1)
  })

  it('that does not fit beside those that nobody reads has theirs closed', async () => {
    const url = await serve({ answerMemoryBytes: ANSWER_BYTES + MIB })
    const unread = await Promise.all([1, 2, 3].map(() => rawSocket(url, GET, false)))
    await expect.poll(() => ended.count, WAIT).toBe(2)
    expect(await made(url)).toEqual({ length: 3 })
    for (const { socket } of unread) socket.resume()
    await expect.poll(() => unread.filter(({ bytes }) => bytes() > ANSWER_BYTES).length, WAIT).toBe(1)
    expect(ended.count).toBe(2)
  })
})
