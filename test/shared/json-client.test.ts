/** A kept-alive connection that the service closes in the moment of the next request. */
import http from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { agentsOf } from '../../shared/client/agents.ts'
import { createJsonClient } from '../../shared/client/http.ts'
import { CLIENT_IDLE_MS, SERVER_IDLE_MS } from '../../shared/platform/idle-connections.ts'

const servers: http.Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

async function serve(handler: http.RequestListener): Promise<string> {
  const server = http.createServer({ keepAliveTimeout: SERVER_IDLE_MS }, handler).listen(0, '127.0.0.1')
  servers.push(server)
  await new Promise((resolve) => server.once('listening', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Answers the first request of each connection, and resets it at the second. */
async function resetting() {
  const seen: string[] = []
  const used = new WeakSet<Socket>()
  const url = await serve((req, res) => {
    seen.push(`${req.method} ${used.has(req.socket) ? 'again' : 'new'}`)
    if (used.has(req.socket)) return void req.socket.resetAndDestroy()
    used.add(req.socket)
    req.resume().on('end', () => res.end('{}'))
  })
  return { client: createJsonClient('service', url), seen }
}

describe('a request on a connection that the service has closed', () => {
  it.each(['GET', 'PUT', 'DELETE'])('%s goes out on another one', async (method) => {
    const { client, seen } = await resetting()
    await client.send({ url: '/a' })
    await client.send({ url: '/a', method, ...(method === 'PUT' && { data: { a: 1 } }) })
    expect(seen).toEqual(['GET new', `${method} again`, `${method} new`])
  })

  it('goes out on another one if it is a question', async () => {
    const { client, seen } = await resetting()
    await client.send({ url: '/a' })
    await client.send({ url: '/a', method: 'POST', data: {}, isQuestion: true })
    expect(seen).toEqual(['GET new', 'POST again', 'POST new'])
  })

  it('fails if it may have been carried out', async () => {
    const { client, seen } = await resetting()
    await client.send({ url: '/a' })
    const posted = client.send({ url: '/a', method: 'POST', data: {} })
    await expect(posted).rejects.toThrow('cannot be reached (ECONNRESET)')
    expect(seen).toEqual(['GET new', 'POST again'])
  })

  it('fails on a new connection', async () => {
    let count = 0
    const url = await serve((req) => {
      count += 1
      req.socket.resetAndDestroy()
    })
    await expect(createJsonClient('service', url).send({ url: '/a' })).rejects.toThrow('ECONNRESET')
    expect(count).toBe(1)
  })
})

it('closes a free connection before the service does', async () => {
  const url = await serve((_req, res) => res.end('{}'))
  await createJsonClient('service', url).send({ url: '/a' })
  const { port } = new URL(url)
  const ofServer = ([peer]: [string, unknown]) => peer.includes(`:${port}:`)
  const free = () => Object.entries(agentsOf().httpAgent.freeSockets).find(ofServer)?.[1]?.[0]
  await expect.poll(() => free()?.timeout).toBe(CLIENT_IDLE_MS)
  expect(CLIENT_IDLE_MS).toBeLessThan(SERVER_IDLE_MS - 10_000)
})
