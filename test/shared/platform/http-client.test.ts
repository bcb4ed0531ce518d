/** The streaming HTTP client against servers as they should not be, and as they may be. */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { HttpClient, type HttpClientOptions, type HttpGet } from '../../../shared/platform/http-client.ts'
import { waitAtMost } from '../../../shared/platform/deadline.ts'
import { eventually } from '../../support/eventually.ts'
import { PATIENCE_MS } from '../../support/patience.ts'
import { CUT_SHORT, HELLO, NOT_HTTP, rawServer, type RawServer, saying } from '../../support/raw-server.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function open(server: Promise<RawServer>): Promise<RawServer> {
  const opened = await server
  closing.push(opened.stop)
  return opened
}

function client(options: Partial<HttpClientOptions> = {}): HttpClient {
  const made = new HttpClient({ timeoutMs: 5000, ...options })
  closing.push(() => made.close())
  return made
}

async function read(body: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of body) parts.push(part)
  return Buffer.concat(parts).toString('latin1')
}

async function ask(from: HttpClient, url: string, more?: HttpGet) {
  const { status, headers, body } = await from.get(url, more)
  return { status, headers, body: await read(body) }
}

describe('an answer', () => {
  it('comes with its head, whatever its status', async () => {
    const { url } = await open(saying('HTTP/1.1 503 \r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello'))
    expect(await ask(client(), url)).toMatchObject({
      status: 503,
      headers: { 'x-a': ['1', '2'] },
      body: 'hello',
    })
  })

  it('is the same however it is cut', async () => {
    const chunked =
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;q=1\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n'
    for (const [text, expected] of [
      [HELLO, 'hello'],
      [chunked, 'hello0123456789'],
    ] as const) {
      const letterByLetter = rawServer(async (socket) => {
        for (const letter of text) {
          socket.write(letter, 'latin1')
          await new Promise((resolve) => setImmediate(resolve))
        }
      })
      const { url } = await open(letterByLetter)
      expect((await ask(client(), url)).body).toBe(expected)
    }
  })

  it('is here before its body, and without a length lasts until the connection ends', async () => {
    const { url, sockets } = await open(saying('HTTP/1.1 200 OK\r\n\r\nsome'))
    const { body } = await client().get(url)
    sockets[0]?.end('thing')
    expect(await read(body)).toBe('something')
  })

  it('comes after those that only inform', async () => {
    const { url } = await open(saying(`HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${HELLO}`))
    expect(await ask(client(), url)).toMatchObject({ status: 200, body: 'hello' })
  })

  it('is read no faster than it is taken', async () => {
    const whole = Buffer.alloc(32_000_000, 'a')
    const { url, sockets } = await open(saying(`HTTP/1.1 200 OK\r\nContent-Length: ${whole.length}\r\n\r\n`))
    const { body } = await client().get(url)
    sockets[0]?.write(whole)
    await sleep(300)
    expect(sockets[0]?.writableLength).toBeGreaterThan(0)
    expect((await read(body)).length).toBe(whole.length)
  })

  it('that nobody reads, or not to its end, closes its connection', async () => {
    const { url, sockets } = await open(saying(CUT_SHORT[0] ?? ''))
    // Longer than the test waits: the timeout would close them too.
    const one = client({ timeoutMs: 10 * PATIENCE_MS })
    const unread = await one.get(url)
    unread.discard()
    for await (const part of (await one.get(url)).body) {
      expect(part.toString()).toBe('some')
      break
    }
    expect(sockets.length).toBeGreaterThanOrEqual(2)
    // undici may open a connection for the next request at once: only those that carried an answer count.
    const signal = AbortSignal.timeout(PATIENCE_MS)
    for (const socket of sockets.slice(0, 2)) if (!socket.destroyed) await once(socket, 'close', { signal })
  })
})

describe('what is not HTTP', () => {
  it('is refused, and so is a continuation or an upgrade that was not asked for', async () => {
    const uncalledFor = [
      `HTTP/1.1 100 Continue\r\n\r\n${HELLO}`,
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
    ]
    for (const text of [...NOT_HTTP, ...uncalledFor]) {
      const { url } = await open(saying(text))
      // undici reports contradicting lengths as a closed connection.
      const contradicting = text.includes('Content-Length: 6')
      const message = contradicting ? /^it closed the connection/ : /^its answer is not HTTP: /
      await expect(ask(client(), url), text.slice(0, 60)).rejects.toThrow(message)
    }
  })
})

describe('a peer that is lost', () => {
  it('before it is reached says why', async () => {
    const { url, stop } = await open(saying(HELLO))
    await stop()
    await expect(ask(client(), url)).rejects.toThrow(/ECONNREFUSED/)
  })

  it('before its head is here', async () => {
    for (const begun of ['', 'HTTP/1.1 200 OK\r\nConte']) {
      const { url } = await open(saying(begun, true))
      await expect(ask(client(), url)).rejects.toThrow(/^it closed the connection$/)
    }
  })

  it('in the middle of its answer, by end or reset, whatever the body’s form', async () => {
    for (const text of CUT_SHORT)
      for (const cut of ['end', 'reset'] as const) {
        const cutting = rawServer((socket) =>
          socket.write(text, () => {
            if (cut === 'end') socket.end()
            else setTimeout(() => socket.resetAndDestroy(), 20)
          }),
        )
        const { url } = await open(cutting)
        await expect(ask(client(), url), `${cut}: ${text}`).rejects.toThrow(
          /^it closed the connection in the middle of its answer$/,
        )
      }
  })

  it('while nobody reads, is told to who does then', async () => {
    const { url } = await open(saying(CUT_SHORT[0] ?? '', true))
    const { body } = await client().get(url)
    await sleep(100)
    await expect(read(body)).rejects.toThrow('in the middle of its answer')
  })

  it('and starts again at its address between requests is found', async () => {
    const first = await open(saying(HELLO))
    const one = client()
    await Promise.all([ask(one, first.url), ask(one, first.url), ask(one, first.url)])
    await first.stop()
    // A connection that was being used, or a new one.
    await expect(ask(one, first.url)).rejects.toThrow(/ECONNREFUSED|closed the connection/)
    const second = await open(rawServer((socket) => socket.write(HELLO), first.port))
    const answers = await Promise.all([ask(one, second.url), ask(one, second.url)])
    expect(answers.map(({ body }) => body)).toEqual(['hello', 'hello'])
  })
})

describe('time', () => {
  it('is up when a peer never answers, or stops in the middle', async () => {
    for (const text of ['', ...CUT_SHORT]) {
      const { url } = await open(saying(text))
      const start = performance.now()
      await expect(ask(client({ timeoutMs: 300 }), url)).rejects.toThrow(/^no byte for 300 ms$/)
      expect(performance.now() - start).toBeGreaterThan(280)
    }
  })

  it('is up when a peer only announces its answer, again and again', async () => {
    const announcing = rawServer(async (socket) => {
      while (!socket.destroyed) {
        socket.write('HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n')
        await sleep(50)
      }
    })
    const { url } = await open(announcing)
    await expect(ask(client({ timeoutMs: 300 }), url)).rejects.toThrow(/^no answer for 600 ms$/)
  })

  it('is not up while bytes of the body come', async () => {
    const text = 'a'.repeat(40)
    const dripping = rawServer(async (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n`)
      for (const letter of text) {
        socket.write(letter)
        await sleep(80)
      }
    })
    const { url } = await open(dripping)
    // All of it takes 3.2 s, no pause nearly as long as the limit.
    expect((await ask(client({ timeoutMs: 1500 }), url)).body).toBe(text)
  })

  it('ends with the request that is cancelled: before, waiting, or reading', async () => {
    const reason = new Error('enough')
    const { url, sockets } = await open(rawServer((socket, at) => at > 0 && socket.write(CUT_SHORT[0] ?? '')))
    const one = client()
    await expect(ask(one, url, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(sockets).toHaveLength(0)
    for (const at of [0, 1]) {
      const stop = new AbortController()
      const under = ask(one, url, { signal: stop.signal })
      setTimeout(() => stop.abort(reason), 100)
      await expect(under).rejects.toBe(reason)
      const socket = sockets[at]
      if (socket && !socket.destroyed) await once(socket, 'close')
    }
    expect(sockets.length).toBeGreaterThanOrEqual(2)
  })
})

describe('requests', () => {
  it('are cancelled also while they wait for a connection', async () => {
    const reason = new Error('enough')
    const stop = new AbortController()
    const { url, sockets } = await open(saying(''))
    const one = client({ timeoutMs: 10 * PATIENCE_MS, connections: 1 })
    const isClosed = expect(ask(one, url)).rejects.toThrow('the client was closed')
    const waiting = ask(one, url, { signal: stop.signal })
    await eventually(() => expect(sockets).toHaveLength(1))
    stop.abort(reason)
    await expect(waitAtMost(waiting, PATIENCE_MS, 'still waiting')).rejects.toBe(reason)
    one.close()
    await isClosed
  })

  it('share no connection while they are under way, and wait if there may only be one', async () => {
    const slow = () => open(rawServer((socket) => setTimeout(() => socket.write(HELLO), 50)))
    for (const [connections, expected] of [
      [undefined, 2],
      [1, 1],
    ] as const) {
      const { url, sockets } = await slow()
      const one = client(connections === undefined ? {} : { connections })
      const both = await Promise.all([ask(one, url), ask(one, url)])
      expect(both.map(({ body }) => body)).toEqual(['hello', 'hello'])
      expect(sockets).toHaveLength(expected)
    }
  })
})
