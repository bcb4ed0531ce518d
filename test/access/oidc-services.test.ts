/** Services whose callers show tokens of an identity provider, as processes of their own. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ownCredentials } from '../../infra/cli/own-credentials.ts'
import type { ManagedProcess } from '../../infra/start/processes/process.ts'
import { SystemAccess } from '../../shared/platform/access/system-access.ts'
import { newSystemKey, SystemKey } from '../../shared/platform/access/system-key.ts'
import { formatToken } from '../../shared/platform/access/token.ts'
import { PLANNER_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { eventually } from '../support/eventually.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { startServiceProcess } from '../support/service-process.ts'
import { AUDIENCE, IdentityProvider, newKey, nowSeconds } from './identity-provider.ts'
import { send } from './services.ts'

let provider: IdentityProvider
let redis: TestRedis
let folder: string
let planner: ManagedProcess
let inference: ManagedProcess
const keyText = newSystemKey()
const audit = () =>
  readFileSync(path.join(folder, 'audit.log'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>)

beforeAll(async () => {
  provider = await IdentityProvider.start()
  // The services start without it.
  provider.goAway('resetting')
  redis = await startTestRedis()
  folder = mkdtempSync(path.join(os.tmpdir(), 'scission-oidc-'))
  const env = {
    REDIS_URL: redis.url,
    SCISSION_IDENTITY: 'always',
    SCISSION_SYSTEM_KEY: keyText,
    SCISSION_AUDIT_FILE: path.join(folder, 'audit.log'),
    SCISSION_DATA: folder,
    SCISSION_OIDC_ISSUER: provider.issuer,
    SCISSION_OIDC_AUDIENCE: AUDIENCE,
    SCISSION_OIDC_ROLES_CLAIM: 'realm_access.roles',
  }
  planner = await startServiceProcess('planner', env)
  inference = await startServiceProcess('inference', {
    ...env,
    SCISSION_RESOURCE: 'edge',
    SCISSION_TIER: 'edge',
  })
})
afterAll(async () => {
  await planner?.stop()
  await inference?.stop()
  await redis?.close()
  await provider?.close()
  rmSync(folder, { recursive: true, force: true })
})

const token = (roles: readonly string[], claims = {}) =>
  provider.token([], { claims: { realm_access: { roles }, ...claims } })
const own = () => formatToken(SystemKey.read(keyText, 'test').tokenOf('operator', 'system'))
const links = async (shown: string) => send('GET', `${planner.url}/v1/links`, shown)
const infer = (shown: string, name: string) => send('POST', `${inference.url}/v2/models/${name}/infer`, shown)

it('a service without a system key takes no identity provider', () => {
  const env = { SCISSION_OIDC_ISSUER: 'https://issuer.example', SCISSION_OIDC_AUDIENCE: AUDIENCE }
  const settings = readConfig(PLANNER_SETTINGS, env)
  expect(() => new SystemAccess(settings, 'planner', recordedLog().log)).toThrow(
    /SCISSION_OIDC_ISSUER needs a system key too/,
  )
})

it('the command line shows a token of one as it does a key', async () => {
  const shown = await provider.token([])
  expect(ownCredentials({ SCISSION_TOKEN: shown }).authorization('planner')).toBe(`Bearer ${shown}`)
  expect(() => ownCredentials({ SCISSION_TOKEN: 'a.b' })).toThrow(/not a token/)
})

describe('two services with an identity provider', () => {
  it('start without it, say so, and take their own tokens', async () => {
    const shown = await token(['scission:read'])
    const { status, text } = await links(shown)
    expect([status, JSON.parse(text)]).toMatchObject([503, { error: { code: 'issuerUnavailable' } }])
    const v2 = await infer(shown, 'net')
    expect([v2.status, JSON.parse(v2.text)]).toEqual([
      503,
      { error: expect.stringContaining('tokens of the identity provider cannot be checked now') as unknown },
    ])
    expect((await links(own())).status).toBe(200)
    const ready = await send('GET', `${planner.url}/readyz`, own())
    expect([ready.status, JSON.parse(ready.text)]).toMatchObject([
      200,
      { ready: true, warnings: [expect.stringContaining(provider.issuer)] },
    ])
    expect(JSON.parse((await send('GET', `${planner.url}/readyz`)).text)).toEqual({ ready: true })
  })

  it('let in whom it knows once it answers, each to what the roles say', async () => {
    provider.comeBack()
    const reader = await token(['scission:read'])
    await eventually(async () => expect((await links(reader)).status).toBe(200))
    const runner = await token(['scission:infer:net*'])
    await eventually(async () => expect((await infer(runner, 'network')).status).toBe(404))
    const refused = await infer(runner, 'other')
    expect([refused.status, JSON.parse(refused.text)]).toEqual([
      403,
      {
        error: expect.stringMatching(
          /^client alice \(oidc:[0-9a-f]{16}\) may not do this: it needs the permission "infer" on "other"$/,
        ) as unknown,
      },
    ])
    expect((await links(runner)).status).toBe(403)
    const health = await send('GET', `${planner.url}/healthz`, reader)
    expect(JSON.parse(health.text)).toMatchObject({
      oidc: { issuer: provider.issuer, audience: [AUDIENCE], keys: 1 },
    })
    expect(JSON.parse((await send('GET', `${planner.url}/healthz`)).text)).not.toHaveProperty('oidc')
  })

  it('write in the audit log who it was', async () => {
    const shown = await token(['scission:operator'], { preferred_username: 'mallory\n{"who":"nobody"}' })
    expect((await send('DELETE', `${planner.url}/v1/deployments/absent`, shown)).status).toBe(404)
    await eventually(() =>
      expect(audit().at(-1)).toMatchObject({
        did: 'removeDeployment',
        who: expect.stringMatching(
          /^operator mallory\?\?\?who\?:\?nobody\?\? \(oidc:[0-9a-f]{16}\)$/,
        ) as unknown,
      }),
    )
  })

  it('answer what does not hold as they do a wrong key', async () => {
    const wrong = await token(['scission:operator'], { exp: nowSeconds() - 3600 })
    const message =
      'the credentials are not valid here: unknown, revoked or expired. scission keys list shows the keys of the system'
    expect(JSON.parse((await links(wrong)).text)).toEqual({ error: { code: 'unauthenticated', message } })
    expect(JSON.parse((await infer(wrong, 'net')).text)).toEqual({ error: message })
  })

  it('follow its keys, both of them', async () => {
    provider.keys = [await newKey('second')]
    const shown = await token(['scission:operator'])
    await eventually(async () => expect((await links(shown)).status).toBe(200))
    await eventually(async () => expect((await infer(shown, 'absent')).status).toBe(404))
  })
})
