/** What a service says when it starts, and with which code it ends: systemd and Docker go by that. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { withLoader } from '../../../shared/platform/processes/child-module.ts'
import { choosePorts } from '../../../infra/start/ports.ts'
import { runNode } from '../../support/command.ts'
import { withFolder } from '../../support/folder.ts'
import { rawServer } from '../../support/raw-server.ts'

/** Nothing listens there: services run without Redis, and say that it is missing. */
const NO_REDIS = 'redis://127.0.0.1:9'
const mainOf = (service: string) =>
  fileURLToPath(new URL(`../../../services/${service}/main.ts`, import.meta.url))

interface Line {
  level: number
  msg: string
}

/** Runs an inference service that ends by itself. */
async function endOf(env: Record<string, string>): Promise<{ code: number | null; lines: Line[] }> {
  const { code, stdout, stderr } = await runNode([...withLoader([], false), mainOf('inference')], {
    env: { ...process.env, SCISSION_BUILD: undefined, REDIS_URL: NO_REDIS, ...env },
  })
  const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => line.startsWith('{'))
  return { code, lines: lines.map((line) => JSON.parse(line) as Line) }
}
const fatal = (lines: readonly Line[]) => lines.find(({ level }) => level === 60)?.msg

describe('a service that cannot start', () => {
  const taken = net.createServer()
  let port = 0
  beforeAll(async () => {
    taken.listen(0, '127.0.0.1')
    await once(taken, 'listening')
    port = (taken.address() as net.AddressInfo).port
  })
  afterAll(() => void taken.close())

  it('says that its port is taken, and what to do; another start may help', async () => {
    const { code, lines } = await endOf({ SCISSION_PORT: String(port) })
    expect([code, fatal(lines)]).toEqual([
      1,
      `could not start: 127.0.0.1:${port} is in use by another process: stop that, or set SCISSION_PORT to another port`,
    ])
  })

  it('says that its host is none of this machine', async () => {
    // Of the block for documentation, which no machine has.
    const { code, lines } = await endOf({
      SCISSION_PORT: '0',
      SCISSION_HOST: '192.0.2.1',
      SCISSION_INSECURE: '1',
    })
    expect(lines[0]?.msg).toContain('SCISSION_INSECURE=1: whoever reaches this service can do everything')
    expect([code, fatal(lines)]).toEqual([
      1,
      expect.stringContaining('is no address of this machine: SCISSION_HOST'),
    ])
  })

  it.each(['0.0.0.0', '::', '192.0.2.1', 'scission.example'])(
    'says that it may not listen on %s without a key, and what to do',
    async (host) => {
      const { code, lines } = await endOf({ SCISSION_PORT: '0', SCISSION_HOST: host })
      expect([code, fatal(lines)]).toEqual([
        2,
        expect.stringMatching(
          /no system key is given.*scission keys init.*SCISSION_SYSTEM_KEY_FILE.*SCISSION_INSECURE=1/,
        ),
      ])
    },
  )

  it('says so of an internal door too, and of callers that are to show tokens that cannot hold', async () => {
    const internal = { SCISSION_INTERNAL_PORT: '0', SCISSION_INTERNAL_HOST: '0.0.0.0' }
    expect((await endOf({ SCISSION_PORT: '0', ...internal })).code).toBe(2)
    const always = await endOf({ SCISSION_PORT: '0', SCISSION_IDENTITY: 'always' })
    expect([always.code, fatal(always.lines)]).toEqual([2, expect.stringContaining('no token can hold')])
  })

  it('ends with 2 for a setting that is wrong however often it is started, also beside others', async () => {
    const { code, lines } = await endOf({ SCISSION_PORT: '0', SCISSION_TIER: 'edges' })
    expect([code, fatal(lines)]).toEqual([2, expect.stringContaining('SCISSION_TIER=edges is not one of')])
  })
})

describe('a service that is stopped as soon as its socket answers', () => {
  const folder = withFolder('stopped-early')

  /** Resolves with the first connection. */
  async function answers(port: number): Promise<void> {
    const socket = net.connect(port, '127.0.0.1')
    const connected = await once(socket, 'connect').catch(() => undefined)
    socket.destroy()
    if (connected === undefined) await sleep(5).then(() => answers(port))
  }

  it.each(['benchmark', 'planner', 'inference'])(
    '%s: ends in order although Redis does not answer',
    async (service) => {
      const redis = await rawServer(() => undefined)
      const { planner: port } = await choosePorts(0, 0)
      const env = {
        ...process.env,
        SCISSION_BUILD: undefined,
        SCISSION_DATA: folder(),
        SCISSION_PORT: String(port),
        REDIS_URL: `redis://127.0.0.1:${redis.port}`,
      }
      const child = spawn(process.execPath, [...withLoader([], false), mainOf(service)], {
        env,
        stdio: 'ignore',
      })
      const ended = once(child, 'exit')
      await answers(port)
      child.kill('SIGTERM')
      expect(await ended).toEqual([0, null])
      await redis.stop()
    },
  )
})
