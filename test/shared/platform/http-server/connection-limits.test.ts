/** How many connections clients may have. */
import { afterEach, describe, expect, it } from 'vitest'
import { type Listening, listen } from '../../../../shared/platform/http-server/listen.ts'
import type { ServerLimits } from '../../../../shared/platform/http-server/server-limits.ts'
import { COMMON_SETTINGS, readConfig } from '../../../../shared/platform/service/service-config.ts'
import { closeRawSockets, rawSocket } from '../../../support/raw-socket.ts'

const WAIT = { timeout: 20_000, interval: 20 }
let listening: Listening | undefined
afterEach(async () => {
  closeRawSockets()
  await listening?.close()
})

async function serve(limits: Partial<ServerLimits> = {}): Promise<string> {
  const bounds = { ...readConfig(COMMON_SETTINGS, {}), ...limits }
  listening = await listen((_req, res) => res.end('served'), 0, '127.0.0.1', '/', bounds)
  return listening.url
}
const GET = 'GET /v1/things HTTP/1.1\r\nHost: x\r\n\r\n'

describe('connections', () => {
  it('beyond those of one client are told 429, until one of them is closed', async () => {
    const url = await serve({ maxClientConnections: 2 })
    const [first, second] = await Promise.all([rawSocket(url, GET), rawSocket(url)])
    await expect.poll(first.heard, WAIT).toContain('served')
    const third = await rawSocket(url, GET)
    await expect.poll(third.heard, WAIT).toMatch(/^HTTP\/1.1 429 .*Retry-After: 1.*"code":"tooManyRequests"/s)
    expect(third.heard()).toContain('SCISSION_MAX_CLIENT_CONNECTIONS')
    await expect.poll(third.isClosed, WAIT).toBe(true)
    // Those that are there go on.
    first.socket.write(GET)
    await expect.poll(first.heard, WAIT).toMatch(/served.*served/s)
    second.socket.destroy()
    await expect
      .poll(async () => {
        const { socket, heard } = await rawSocket(url, GET)
        await expect.poll(heard, WAIT).toMatch(/^HTTP/)
        socket.destroy()
        return heard()
      }, WAIT)
      .toContain('served')
  })

  it('beyond those of all clients are told 503', async () => {
    const url = await serve({ maxConnections: 1 })
    await rawSocket(url)
    const { heard } = await rawSocket(url, GET)
    await expect.poll(heard, WAIT).toMatch(/^HTTP\/1.1 503 .*Retry-After: 1.*SCISSION_MAX_CONNECTIONS/s)
  })

  it('that are too many and silent are closed', async () => {
    const url = await serve({ maxClientConnections: 1 })
    await rawSocket(url)
    const { isClosed } = await rawSocket(url)
    await expect.poll(isClosed, WAIT).toBe(true)
  })
})

describe('a request', () => {
  it.each(['Host: a\r\nHost: b', 'Host: a\r\nhOSt: a'])('with the headers %j is refused', async (hosts) => {
    const { heard } = await rawSocket(await serve(), `GET / HTTP/1.1\r\n${hosts}\r\n\r\n`)
    await expect.poll(heard, WAIT).toMatch(/^HTTP\/1.1 400 .*one Host header, this one has 2/s)
  })
})
