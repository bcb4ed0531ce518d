/** Certificates: what a service shows and asks for, and what is said of those that do not hold. */
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import https from 'node:https'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  type CertificateFiles,
  makeAuthority,
  makeCertificate,
} from '../../infra/certificates/make-certificates.ts'
import { Caller } from '../../services/inference/http/call.ts'
import { createPlannerClient } from '../../shared/client/planner.ts'
import type { Credentials } from '../../shared/platform/credentials.ts'
import { newSystemKey, SystemKey } from '../../shared/platform/access/system-key.ts'
import { Tls } from '../../shared/platform/access/tls.ts'
import { formatToken } from '../../shared/platform/access/token.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { HttpClient } from '../../shared/platform/http-client.ts'
import { createLog } from '../../shared/platform/log.ts'
import { openDoors, type OpenDoors } from '../../shared/platform/service/open-doors.ts'
import { PLANNER_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { createPlannerService, type PlannerService } from '../../services/planner/app.ts'
import { withFolder } from '../support/folder.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { withTestRedis } from '../support/redis.ts'

const log = createLog('test', 'silent')
const folder = withFolder('tls')
const redis = withTestRedis()
const keyText = newSystemKey()
const systemKey = SystemKey.read(keyText, 'test')
const file = (name: string) => path.join(folder(), name)
const tokenOf = (name: string) => `Bearer ${formatToken(systemKey.tokenOf('resource', name))}`

let authority: CertificateFiles
let stranger: CertificateFiles
let service: PlannerService
let doors: OpenDoors

/** Writes a certificate for use in settings. @returns its settings. */
async function certificate(
  name: string,
  from: CertificateFiles,
  days = 1,
  hosts = ['127.0.0.1', 'localhost'],
) {
  const made = await makeCertificate(from, name, { hosts, days })
  writeFileSync(file(`${name}.pem`), made.certificate)
  await rm(file(`${name}.key`), { force: true })
  writeFileSync(file(`${name}.key`), made.key, { mode: 0o600 })
  return { tlsCert: file(`${name}.pem`), tlsKey: file(`${name}.key`), tlsCa: file('ca.pem') }
}

beforeAll(async () => {
  authority = await makeAuthority('ours')
  stranger = await makeAuthority('theirs')
  writeFileSync(file('ca.pem'), authority.certificate)
  writeFileSync(file('stranger.pem'), stranger.certificate)
  const { tlsCert, tlsKey, tlsCa } = await certificate('planner', authority)
  const config = readConfig(PLANNER_SETTINGS, {
    REDIS_URL: redis().url,
    SCISSION_PORT: '0',
    SCISSION_SYSTEM_KEY: keyText,
    SCISSION_IDENTITY: 'always',
    SCISSION_TLS_CERT: tlsCert,
    SCISSION_TLS_KEY: tlsKey,
    SCISSION_TLS_CA: tlsCa,
  })
  service = createPlannerService(config, log)
  doors = await openDoors(service.app, config, service.tls)
})
afterAll(async () => {
  service.endStreams()
  await doors.close()
  await service.close()
})

const credentials = (settings: Parameters<typeof Tls.from>[0], name = 'edge'): Credentials => ({
  authorization: () => tokenOf(name),
  tls: Tls.from(settings, log),
})
const none = { tlsCert: '', tlsKey: '', tlsCa: '' }
const resources = (shown: Credentials) => createPlannerClient(doors.url, undefined, shown).resources()
const refusal = (asking: Promise<unknown>) =>
  asking.then(
    () => 'let in',
    (thrown: unknown) =>
      thrown instanceof ScissionError ? `${thrown.code}: ${thrown.message}` : String(thrown),
  )

describe('a service with a certificate and an authority', () => {
  it('answers by https only', async () => {
    expect(doors.url).toMatch(/^https:/)
    await expect(fetch(doors.url.replace('https', 'http'))).rejects.toThrow()
  })

  it('lets a resource in that shows a certificate of its name, by each of the clients', async () => {
    const shown = credentials(await certificate('edge', authority))
    expect(await resources(shown)).toEqual([])
    const client = new HttpClient({ timeoutMs: 5000, shown: { credentials: shown, to: 'planner' } })
    const answer = await client.get(`${doors.url}/v1/resources`)
    answer.discard()
    client.close()
    const caller = new Caller(shown)
    const call = {
      method: 'GET',
      url: `${doors.url}/v1/resources`,
      to: 'planner',
      headers: {},
      body: [],
    } as const
    const { status } = await caller.send({ ...call, timeoutMs: 5000, maxBytes: 10_000 })
    caller.close()
    expect([answer.status, status]).toEqual([200, 200])
  })

  it('refuses a resource without a certificate, with one of another name, or of another authority', async () => {
    const ca = { ...none, tlsCa: file('ca.pem') }
    expect(await refusal(resources(credentials(ca)))).toMatch(
      /^forbidden: resource edge needs a certificate .* it shows none$/,
    )
    const cloud = await certificate('cloud', authority)
    expect(await refusal(resources(credentials(cloud)))).toBe(
      'forbidden: resource edge shows a certificate of another name: CN=cloud',
    )
    const strange = { ...(await certificate('edge', stranger)), tlsCa: file('ca.pem') }
    expect(await refusal(resources(credentials(strange)))).toMatch(
      /^forbidden: resource edge .* it does not hold: /,
    )
  })

  it('refuses a certificate that has its name in something else alone', async () => {
    const made = await makeCertificate(authority, 'http://other.example/DNS:edge', { hosts: [], days: 1 })
    const [tlsCert, tlsKey] = [file('odd.pem'), file('odd.key')]
    writeFileSync(tlsCert, made.certificate)
    writeFileSync(tlsKey, made.key, { mode: 0o600 })
    expect(await refusal(resources(credentials({ tlsCert, tlsKey, tlsCa: file('ca.pem') })))).toMatch(
      /shows a certificate of another name/,
    )
  })

  it('refuses a certificate that has expired', async () => {
    const expired = await certificate('edge', authority, -0.02)
    expect(await refusal(resources(credentials(expired)))).toMatch(
      /^forbidden: resource edge .* it does not hold: .*CERT_HAS_EXPIRED$/,
    )
  })

  it('asks an operator for none', async () => {
    const authorization = () => `Bearer ${formatToken(systemKey.tokenOf('operator', 'system'))}`
    const tls = Tls.from({ ...none, tlsCa: file('ca.pem') }, log)
    expect(await resources({ authorization, tls })).toEqual([])
  })

  it('takes a certificate that replaced its own while it ran', async () => {
    const serial = () =>
      new Promise<string>((resolve, reject) => {
        const asking = https.get(
          `${doors.url}/healthz`,
          { ca: authority.certificate, agent: false },
          (res) => {
            const socket = res.socket as unknown as { getPeerCertificate: () => { serialNumber: string } }
            resolve(socket.getPeerCertificate().serialNumber)
            res.resume()
          },
        )
        asking.on('error', reject)
      })
    const before = await serial()
    // Half of it is there: the earlier one stays in use.
    const next = await makeCertificate(authority, 'planner', { hosts: ['127.0.0.1'], days: 1 })
    writeFileSync(file('planner.pem'), next.certificate)
    expect(await serial()).toBe(before)
    copyFileSync(file('planner.key'), file('earlier.key'))
    writeFileSync(file('planner.key'), next.key, { mode: 0o600 })
    await vi.waitFor(async () => expect(await serial()).not.toBe(before), { timeout: 30_000, interval: 500 })
  })
})

describe('a client', () => {
  it('says what is wrong with the certificate of a service', async () => {
    const other = { ...none, tlsCa: file('stranger.pem') }
    expect(await refusal(resources(credentials(other)))).toMatch(
      /of an authority that is not known here: SCISSION_TLS_CA/,
    )
    expect(await refusal(resources(credentials(none)))).toMatch(/of an authority that is not known here/)
    const plain = createPlannerClient(doors.url.replace('https', 'http'))
    expect(await refusal(plain.resources())).toMatch(/^peerUnavailable/)
  })

  it.each([
    ['has expired', -0.02, ['127.0.0.1'], /its certificate has expired/],
    ['is of another host', 1, ['10.9.8.7'], /its certificate is of another name or address/],
  ] as const)('says that it %s', async (_, days, hosts, message) => {
    const made = await makeCertificate(authority, 'bad', { hosts, days })
    const server = https.createServer({ cert: made.certificate, key: made.key }, (_req, res) => res.end('{}'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const url = `https://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
    const ca = credentials({ ...none, tlsCa: file('ca.pem') })
    expect(await refusal(createPlannerClient(url, undefined, ca).resources())).toMatch(message)
    server.close()
  })
})

describe('settings of certificates', () => {
  it('are refused by name: one of the two missing, a file that is not there, a key of another certificate', async () => {
    const { tlsCert, tlsKey } = await certificate('a', authority)
    const b = await certificate('b', authority)
    expect(() => Tls.from({ ...none, tlsCert }, log)).toThrow('SCISSION_TLS_KEY is missing')
    expect(() => Tls.from({ ...none, tlsKey }, log)).toThrow('SCISSION_TLS_CERT is missing')
    expect(() => Tls.from({ ...none, tlsCa: '/absent' }, log)).toThrow(
      'SCISSION_TLS_CA: /absent cannot be read',
    )
    expect(() => Tls.from({ ...none, tlsCa: tlsKey }, log)).toThrow(
      `SCISSION_TLS_CA: ${tlsKey} is no certificate of an authority (PEM)`,
    )
    expect(() => Tls.from({ ...none, tlsCert, tlsKey: b.tlsKey }, log)).toThrow('cannot be used')
  })

  it('are refused if others can read the key', async () => {
    const settings = await certificate('open', authority)
    await rm(settings.tlsKey)
    writeFileSync(settings.tlsKey, 'x', { mode: 0o644 })
    chmodSync(folder(), 0o755)
    expect(() => Tls.from(settings, log)).toThrow(`chmod 600 ${settings.tlsKey}`)
    chmodSync(folder(), 0o700)
  })

  it('say that a replacement could not be used', async () => {
    const recorded = recordedLog()
    const settings = await certificate('late', authority)
    const tls = Tls.from(settings, recorded.log)
    tls?.follow(() => undefined)
    writeFileSync(settings.tlsCert, 'no certificate')
    await vi.waitFor(() => expect(recorded.lines.join('\n')).toContain('the one before stays in use'), {
      timeout: 30_000,
    })
    tls?.close()
  })
})
