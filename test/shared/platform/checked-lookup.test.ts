/** Which addresses the services call, with every client that they have. */
import dns from 'node:dns'
import os from 'node:os'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { Caller } from '../../../services/inference/http/call.ts'
import { Pinger } from '../../../services/inference/links/pinger.ts'
import { createJsonClient } from '../../../shared/client/http.ts'
import { refusalOfAddress } from '../../../shared/platform/checked-lookup.ts'
import { HttpClient } from '../../../shared/platform/http-client.ts'
import { type StubServer, stubServer } from '../../support/stub-server.ts'

const TIMEOUT_MS = 5000

const closing: (() => unknown)[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const close of closing.splice(0)) await close()
})

/** Each calls an address and throws if it gets no answer 200. */
const CLIENTS: Record<string, (url: string) => Promise<unknown>> = {
  'JSON of all services': (url) =>
    createJsonClient('service', url).request(z.unknown(), { url: '/a', method: 'PUT', data: { secret: 1 } }),
  'streams of bytes': async (url) => {
    const client = new HttpClient({ timeoutMs: TIMEOUT_MS })
    closing.push(() => client.close())
    const { status, body } = await client.get(`${url}/a`)
    for await (const _part of body);
    if (status !== 200) throw new Error(`answered ${status}`)
  },
  tensors: async (url) => {
    const caller = new Caller()
    closing.push(() => caller.close())
    const call = { method: 'POST', headers: {}, body: [Buffer.from('x')], maxBytes: 1000 } as const
    const { status } = await caller.send({ ...call, url: `${url}/a`, timeoutMs: TIMEOUT_MS })
    if (status !== 200) throw new Error(`answered ${status}`)
  },
  pings: async (url) => {
    const pinger = new Pinger(new URL(`${url}/a`), TIMEOUT_MS)
    closing.push(() => pinger.close())
    await pinger.ping()
  },
}

async function serverOf(location?: string): Promise<StubServer & { heard: string[] }> {
  const heard: string[] = []
  const server = await stubServer((req, res) => {
    heard.push(`${req.method} ${req.url}`)
    if (location !== undefined) return res.writeHead(307, { location }).end()
    return res.end('{}')
  })
  closing.push(server.close)
  return { ...server, heard }
}

/** As a name server answers, whatever is asked. */
function resolvingTo(...addresses: string[]): void {
  const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
  vi.spyOn(dns, 'lookup').mockImplementation(((_host: string, _options: unknown, done: unknown) =>
    (done as (error: null, found: unknown) => void)(null, found)) as never)
}

it.each([
  ['169.254.169.254', 'link-local'],
  ['fe80::1', 'link-local'],
  ['febf::1', 'link-local'],
  ['::ffff:169.254.169.254', 'link-local'],
  ['0.0.0.0', 'unspecified'],
  ['::', 'unspecified'],
  ['224.0.0.251', 'multicast'],
  ['ff02::1', 'multicast'],
  ['255.255.255.255', 'broadcast'],
])('%s is refused as %s, named or looked up', (address, what) => {
  expect(refusalOfAddress(address, address)).toContain(what)
  expect(refusalOfAddress('machine.example', address)).toContain(what)
  expect(refusalOfAddress('localhost', address)).toContain(what)
})

it.each(['10.0.0.7', '192.168.1.9', '203.0.113.7', 'fd00::7', '2001:db8::1'])('%s is called', (address) => {
  expect(refusalOfAddress(address, address)).toBeUndefined()
  expect(refusalOfAddress('machine.example', address)).toBeUndefined()
})

it.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'])(
  '%s is called where the URL says so, and not by another name',
  (address) => {
    for (const host of ['localhost', 'LOCALHOST', 'a.localhost', os.hostname(), address])
      expect(refusalOfAddress(host, address)).toBeUndefined()
    expect(refusalOfAddress('machine.example', address)).toContain('loopback')
  },
)

describe.each(Object.entries(CLIENTS))('%s', (_name, send) => {
  it('go to a service at a loopback address', async () => {
    const { url } = await serverOf()
    await send(url)
  })

  it.each([
    'http://169.254.169.254:80',
    'http://0.0.0.0:1',
    'http://[::]:1',
    'http://[fe80::1]:1',
    'http://[::ffff:169.254.169.254]:1',
    'http://224.0.0.1:1',
    'http://255.255.255.255:1',
  ])('do not go to %s', async (url) => {
    await expect(async () => send(url)).rejects.toThrow(/which is never called/)
  })

  it('do not go to this machine by a name that was moved here', async () => {
    const { url, heard } = await serverOf()
    resolvingTo('127.0.0.1')
    const moved = `http://machine.example:${new URL(url).port}`
    await expect(async () => send(moved)).rejects.toThrow(/machine\.example: 127\.0\.0\.1 is a loopback/)
    expect(heard).toEqual([])
  })

  it('leave out what a name has beside addresses that may be called', async () => {
    const { url } = await serverOf()
    resolvingTo('169.254.169.254', '127.0.0.1')
    await send(`http://localhost:${new URL(url).port}`)
  })
})

// A ping is over before an answer to follow could come.
const { pings: _pings, ...following } = CLIENTS
it.each(Object.entries(following))('%s follow no redirection', async (_name, send) => {
  const other = await serverOf()
  const { url, heard } = await serverOf(`${other.url}/stolen`)
  await expect(async () => send(url)).rejects.toThrow(/307/)
  expect([heard.length, other.heard]).toEqual([1, []])
})

describe('an answer', () => {
  it('in JSON that comes byte by byte ends at the limit of the call, not later', async () => {
    let timer: NodeJS.Timeout | undefined
    const { url, close } = await stubServer((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/json' })
      timer = setInterval(() => res.write(' '), 20)
    })
    closing.push(() => clearInterval(timer), close)
    const call = createJsonClient('service', url).request(z.unknown(), { url: '/a', timeout: 300 })
    await expect(call).rejects.toMatchObject({ code: 'deadlineExceeded' })
  })

  it('in JSON is read up to a limit', async () => {
    const { url, close } = await stubServer((_req, res) => {
      const mega = Buffer.alloc(1024 ** 2, ' ')
      for (let part = 0; part < 65; part += 1) res.write(mega)
      res.end('{}')
    })
    closing.push(close)
    const call = createJsonClient('service', url).request(z.unknown(), { url: '/a' })
    await expect(call).rejects.toMatchObject({ code: 'payloadTooLarge' })
  })

  it('in bytes is read up to the limit that the caller names', async () => {
    const { url, close } = await stubServer((_req, res) => res.end('12345'))
    closing.push(close)
    const client = new HttpClient({ timeoutMs: TIMEOUT_MS })
    closing.push(() => client.close())
    const read = async (maxBytes: number) => {
      const { body } = await client.get(url, { maxBytes })
      for await (const _part of body);
    }
    await read(5)
    await expect(read(4)).rejects.toThrow(/longer than 4 bytes/)
  })

  it('that never ends its pages is given up', async () => {
    const { url, close } = await stubServer((_req, res) =>
      res.setHeader('Content-Type', 'application/json').end('{"items":[],"next":"a"}'),
    )
    closing.push(close)
    const call = createJsonClient('service', url).all(z.unknown(), '/v1/models')
    await expect(call).rejects.toThrow(/never ends its list/)
  })
})

it('a cancelled call says so, and a client keeps one connection to a peer', async () => {
  const { url, server, heard } = await serverOf()
  const sockets = new Set<unknown>()
  server.on('connection', (socket) => sockets.add(socket))
  const cancelled = createJsonClient('service', url).send({ url: '/a', signal: AbortSignal.abort() })
  await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' })
  for (let call = 0; call < 5; call += 1) await createJsonClient('service', url).send({ url: '/a' })
  expect([heard.length, sockets.size]).toEqual([5, 1])
})
