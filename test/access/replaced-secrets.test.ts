/** Files with secrets that are replaced while a service runs. */
import { renameSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { makeAuthority } from '../../infra/certificates/make-certificates.ts'
import { parsePass } from '../../shared/platform/access/pass.ts'
import { SystemAccess } from '../../shared/platform/access/system-access.ts'
import { newSystemKey, SystemKey } from '../../shared/platform/access/system-key.ts'
import { Tls } from '../../shared/platform/access/tls.ts'
import {
  formatToken,
  hashOf,
  newToken,
  parseToken,
  publicBytesOf,
  signingKeyOf,
} from '../../shared/platform/access/token.ts'
import type { KeyRecord } from '../../shared/contracts/key.ts'
import { sealText } from '../../shared/platform/redis/seal.ts'
import type { Credentials } from '../../shared/platform/credentials.ts'
import { createLog } from '../../shared/platform/log.ts'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import { PLANNER_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { eventually } from '../support/eventually.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'

const log = createLog('test', 'silent')
const folder = withFolder('replaced')
const redis = withTestRedis()
const closing: (() => void)[] = []
afterEach(() => {
  vi.useRealTimers()
  for (const close of closing.splice(0)) close()
})

/** Whole, and never readable by others. */
function replaced(name: string, text: string): string {
  const at = path.join(folder(), name)
  writeFileSync(`${at}.new`, text, { mode: 0o600 })
  renameSync(`${at}.new`, at)
  return at
}

function access(env: NodeJS.ProcessEnv): { access: SystemAccess; state: State } {
  const made = new SystemAccess(readConfig(PLANNER_SETTINGS, env), 'planner', log)
  const connection = workerConnection(redis().url, log)
  const state = openState(connection, log, made.seal)
  made.follow(state)
  closing.push(() => {
    made.close()
    connection.disconnect()
  })
  return { access: made, state }
}

const passOf = ({ authorization }: Credentials) =>
  parsePass(authorization('edge')?.replace('Bearer ', '') ?? '')
/** The id of the token. */
const shownBy = (credentials: Credentials) => passOf(credentials)?.id

describe('a service goes on with', () => {
  it('another token of its own', async () => {
    const key = SystemKey.read(newSystemKey(), 'test').publicText
    const [first, second] = [formatToken(newToken()), formatToken(newToken())]
    const file = replaced('own.token', first)
    const { credentials } = access({ SCISSION_SYSTEM_KEY: key, SCISSION_TOKEN_FILE: file }).access
    expect(shownBy(credentials)).toBe(parseToken(first)?.id)
    replaced('own.token', second)
    await eventually(() => expect(shownBy(credentials)).toBe(parseToken(second)?.id))
    replaced('own.token', 'nonsense')
    // Longer than it takes to look at a file again.
    vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 10_000)
    expect(shownBy(credentials)).toBe(parseToken(second)?.id)
    vi.restoreAllMocks()
  })

  it('another system key, whose token those learn that have the public half alone', async () => {
    const [older, newer] = [newSystemKey(), newSystemKey()]
    const file = replaced('system.key', older)
    const { credentials } = access({ SCISSION_SYSTEM_KEY_FILE: file }).access
    const other = { SCISSION_SYSTEM_KEY: SystemKey.read(`${newer}\n${older}`, 'test').publicText }
    const { state } = access({ ...other, SCISSION_TOKEN: formatToken(newToken()) })
    const tokenOf = (text: string) => SystemKey.read(text, 'test').tokenOf('resource', 'planner')
    const onRecord = async () => (await state.keys.find('resource-planner'))?.hash
    await eventually(async () => expect(await onRecord()).toBe(hashOf(tokenOf(older).secret)))
    replaced('system.key', `${newer}\n${older}`)
    const isOf = (text: string) => {
      const pass = passOf(credentials)
      return pass && SystemKey.read(text, 'test').signerOf(pass)
    }
    await eventually(() => expect(isOf(newer)).toEqual({ kind: 'resource', name: 'planner' }))
    expect(isOf(older)).toBeUndefined()
    await eventually(async () => expect(await onRecord()).toBe(hashOf(tokenOf(newer).secret)))
  })

  it('what an older system key has signed, which the planner signs anew, as it stands', async () => {
    const [older, newer] = [newSystemKey(), newSystemKey()]
    const file = replaced('anew.key', older)
    const { state } = access({ SCISSION_SYSTEM_KEY_FILE: file })
    const token = newToken()
    const camera: KeyRecord = {
      id: token.id,
      kind: 'operator',
      name: 'camera',
      hash: hashOf(token.secret),
      publicKey: publicBytesOf(signingKeyOf(token.secret)).toString('base64url'),
      createdAt: new Date().toISOString(),
      createdBy: 'test',
    }
    await state.keys.put(token.id, camera)
    const text = async () => String(await state.redis.hget('scission:keys', token.id))
    const seal = /,"sealed":.*$/
    const made = { ...camera, ofANewerVersion: { a: 1 } }
    const ownSeal = SystemKey.read(older, 'test')
    const sealed = sealText('keys', token.id, JSON.stringify(made), {
      by: 'system',
      sign: (message) => ownSeal.sign(message),
    })
    await state.redis.hset('scission:keys', token.id, sealed)
    replaced('anew.key', `${older}\n${newer}`)
    const afterwards = access({ SCISSION_SYSTEM_KEY: newer }).state
    expect(await afterwards.keys.find(token.id)).toBeUndefined()
    replaced('anew.key', `${newer}\n${older}`)
    await eventually(async () => expect(await afterwards.keys.find(token.id)).toEqual(camera))
    expect((await text()).replace(seal, '')).toBe(sealed.replace(seal, ''))
  })

  it('another authority of the other services, also if it shows no certificate itself', async () => {
    const [first, second] = [await makeAuthority('first'), await makeAuthority('second')]
    const tlsCa = replaced('ca.pem', first.certificate)
    // A clock that does not tick between them.
    const at = new Date(0)
    utimesSync(tlsCa, at, at)
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const tls = Tls.from({ tlsCert: '', tlsKey: '', tlsCa }, log)
    closing.push(() => tls?.close())
    expect(tls?.context.ca).toBe(first.certificate)
    replaced('ca.pem', second.certificate)
    utimesSync(tlsCa, at, at)
    vi.advanceTimersByTime(11_000)
    expect(tls?.context.ca).toBe(second.certificate)
  })
})
