/** The sockets of a service: which it opens, what it asks there, and that secrets are replaced while it runs. */
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createPlannerService } from '../../services/planner/app.ts'
import { newSystemKey, SystemKey } from '../../shared/platform/access/system-key.ts'
import { formatToken } from '../../shared/platform/access/token.ts'
import { RequestLog } from '../../shared/platform/http-server/request-log.ts'
import { createRequestLogs } from '../../shared/platform/log.ts'
import { openDoors, type OpenDoors } from '../../shared/platform/service/open-doors.ts'
import { PLANNER_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { eventually, until } from '../support/eventually.ts'
import { withFolder } from '../support/folder.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { withTestRedis } from '../support/redis.ts'
import { send } from './services.ts'

const folder = withFolder('doors')
const redis = withTestRedis()
const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

const file = (name: string, text: string): string => {
  const at = path.join(folder(), name)
  // As a careful operator replaces it: whole, and never readable by others.
  writeFileSync(`${at}.new`, text, { mode: 0o600 })
  renameSync(`${at}.new`, at)
  return at
}

async function planner(env: NodeJS.ProcessEnv): Promise<OpenDoors & { lines: string[] }> {
  const { log, lines } = recordedLog()
  const config = readConfig(PLANNER_SETTINGS, { REDIS_URL: redis().url, SCISSION_PORT: '0', ...env })
  const service = createPlannerService(config, log, new RequestLog(createRequestLogs('planner', config)))
  closing.push(async () => {
    service.endStreams()
    await service.close()
  })
  const doors = await openDoors(service.app, config, service.tls)
  closing.unshift(() => doors.close())
  await until(async () => (await fetch(`${doors.url}/readyz`)).status === 200)
  return { ...doors, lines }
}

const operator = (keyText: string) =>
  formatToken(SystemKey.read(keyText, 'test').tokenOf('operator', 'system'))

describe('a service', () => {
  it('has one door, which asks nothing on its own machine', async () => {
    const { url, internalUrl } = await planner({})
    expect(internalUrl).toBeUndefined()
    expect((await send('GET', `${url}/v1/links`)).status).toBe(200)
    expect((await send('GET', `${url}/metrics`)).status).toBe(200)
    // Nobody has to show a token, so that a wrong one does no harm.
    expect((await send('GET', `${url}/v1/links`, 'scn_x_y')).status).toBe(200)
  })

  it('has a second door for what machines say to each other, and then not on the first', async () => {
    const env = { SCISSION_INTERNAL_PORT: '0', SCISSION_SYSTEM_KEY: newSystemKey() }
    const { url, internalUrl } = await planner(env)
    expect((await send('GET', `${url}/v1/links`)).status).toBe(200)
    expect((await send('GET', `${url}/metrics`)).status).toBe(404)
    expect((await send('GET', `${internalUrl}/metrics`)).status).toBe(200)
  })

  it('opens no door if it cannot open both', async () => {
    const taken = await planner({})
    const { port } = new URL(taken.url)
    const free = await planner({})
    const freePort = new URL(free.url).port
    await closing.shift()?.()
    await expect(planner({ SCISSION_PORT: freePort, SCISSION_INTERNAL_PORT: port })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    })
    await expect(fetch(`http://127.0.0.1:${freePort}/healthz`)).rejects.toThrow()
  })

  it('asks on its own machine too, if it is told to, and tells nobody more than that it runs', async () => {
    const keyText = newSystemKey()
    const { url } = await planner({ SCISSION_IDENTITY: 'always', SCISSION_SYSTEM_KEY: keyText })
    expect((await send('GET', `${url}/v1/links`)).status).toBe(401)
    expect((await send('GET', `${url}/v1/links`, operator(keyText))).status).toBe(200)
    const keysOf = async (token?: string) =>
      Object.keys(JSON.parse((await send('GET', `${url}/healthz`, token)).text) as object)
    expect(await keysOf()).toEqual(['service', 'version', 'uptimeMs'])
    expect(await keysOf(operator(keyText))).toContain('redis')
    const front = await fetch(url, { headers: { Accept: 'application/json' } })
    expect(((await front.json()) as { services: object }).services).toEqual({})
  })

  it('says on every page that it is open to the network, if that was asked for', async () => {
    const { lines, url } = await planner({ SCISSION_HOST: '0.0.0.0', SCISSION_INSECURE: '1' })
    expect(lines).toEqual(expect.arrayContaining([expect.stringContaining('SCISSION_INSECURE=1')]))
    for (const page of ['/', '/docs/', '/healthz'])
      expect(await (await fetch(url + page, { headers: { Accept: 'text/html' } })).text()).toContain(
        'SCISSION_INSECURE=1',
      )
  })
})

describe('the key of a system', () => {
  it('is replaced while the service runs, without a gap, and never by half of one', async () => {
    const [older, newer] = [newSystemKey(), newSystemKey()]
    const at = file('system.key', older)
    const { url, lines } = await planner({ SCISSION_IDENTITY: 'always', SCISSION_SYSTEM_KEY_FILE: at })
    const status = async (keyText: string) => (await send('GET', `${url}/v1/links`, operator(keyText))).status
    expect([await status(older), await status(newer)]).toEqual([200, 401])
    file('system.key', `${newer}\n${older}`)
    await eventually(async () => expect([await status(older), await status(newer)]).toEqual([200, 200]))
    file('system.key', newer.slice(0, 20))
    await vi.waitFor(
      async () => {
        expect([await status(older), await status(newer)]).toEqual([200, 200])
        expect(lines.join('\n')).toContain('what it held before stays in use')
      },
      { timeout: 20_000, interval: 200 },
    )
    file('system.key', newer)
    await eventually(async () => expect([await status(older), await status(newer)]).toEqual([401, 200]))
  })
})

describe('what was done', () => {
  it('is written with who did it, on what, and how it ended; a flood of refusals is counted', async () => {
    const keyText = newSystemKey()
    const open = path.join(folder(), 'audit')
    mkdirSync(open)
    chmodSync(open, 0o755)
    const audit = path.join(open, 'audit.log')
    const { url } = await planner({
      SCISSION_IDENTITY: 'always',
      SCISSION_SYSTEM_KEY: keyText,
      SCISSION_AUDIT_FILE: audit,
    })
    const token = operator(keyText)
    const put = await fetch(`${url}/v1/links/a/b`, {
      method: 'PUT',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: '{"rttMs":1,"bandwidthMbps":1}',
    })
    await put.text()
    await send('DELETE', `${url}/v1/deployments/absent`, token)
    await send('GET', `${url}/v1/links`, token)
    const edge = formatToken(SystemKey.read(keyText, 'test').tokenOf('resource', 'edge'))
    await send('DELETE', `${url}/v1/deployments/absent`, edge)
    for (let count = 0; count < 50; count += 1) await send('DELETE', `${url}/v1/deployments/x`)
    const entries = () =>
      readFileSync(audit, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    await eventually(() => expect(entries().length).toBeGreaterThanOrEqual(12))
    const [first, second, third, fourth] = entries()
    const who = 'operator system (operator-system)'
    expect(first).toMatchObject({
      log: 'audit',
      who,
      did: 'overrideLink',
      on: { from: 'a', to: 'b' },
      from: '127.0.0.1',
    })
    expect(second).toMatchObject({
      who,
      did: 'removeDeployment',
      on: { id: 'absent' },
      status: 404,
      msg: 'failed: removeDeployment',
    })
    expect(third).toMatchObject({ who: 'resource edge (resource-edge)', status: 403 })
    expect(fourth).toMatchObject({ who: 'nobody', status: 401, msg: 'refused: removeDeployment' })
    expect(entries().length).toBeLessThan(52)
    // A flood by nobody hides nobody else's refusal.
    await send('DELETE', `${url}/v1/deployments/hidden`, edge)
    await eventually(() => expect(entries().at(-1)).toMatchObject({ on: { id: 'hidden' }, status: 403 }))
    expect(readFileSync(audit, 'utf8')).not.toContain(token)
  })
})
