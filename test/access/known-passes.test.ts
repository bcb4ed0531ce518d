/** A pass that was found right once is known again without a signature or a derivation, and only for as long as it is right. */
import type * as Crypto from 'node:crypto'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { KeyRecord } from '../../shared/contracts/key.ts'
import { KeyRing } from '../../shared/platform/access/key-ring.ts'
import { credentialsOfToken } from '../../shared/platform/access/pass.ts'
import { newSystemKey, SystemKey } from '../../shared/platform/access/system-key.ts'
import {
  hashOf,
  newToken,
  publicBytesOf,
  signingKeyOf,
  type Token,
} from '../../shared/platform/access/token.ts'

const work = vi.hoisted(() => ({ count: 0 }))
vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof Crypto>()
  const counted = (name: 'hkdfSync' | 'sign' | 'verify' | 'createPrivateKey' | 'createPublicKey') => {
    const real = crypto[name] as (...given: unknown[]) => unknown
    return (...given: unknown[]) => {
      work.count += 1
      return real(...given)
    }
  }
  return {
    ...crypto,
    hkdfSync: counted('hkdfSync'),
    sign: counted('sign'),
    verify: counted('verify'),
    createPrivateKey: counted('createPrivateKey'),
    createPublicKey: counted('createPublicKey'),
  }
})
afterEach(() => {
  vi.restoreAllMocks()
})

const HERE = 'edge'
const NOT_VALID = expect.objectContaining({ code: 'unauthenticated' }) as unknown
const text = newSystemKey()
const passOf = (token: Token, to = HERE): string =>
  credentialsOfToken(() => token)
    .authorization(to)
    ?.replace('Bearer ', '') ?? ''
const publicKeyOf = ({ secret }: Token): string => publicBytesOf(signingKeyOf(secret)).toString('base64url')

const recordOf = (token: Token, more: Partial<KeyRecord> = {}): KeyRecord => ({
  id: token.id,
  kind: 'client',
  name: 'camera',
  hash: hashOf(token.secret),
  publicKey: publicKeyOf(token),
  createdAt: new Date(0).toISOString(),
  createdBy: 'test',
  ...more,
})

/** A service that knows these records, which may change, as may its system key. */
function service(...known: KeyRecord[]) {
  const records = new Map(known.map((record) => [record.id, record]))
  const at = { systemKey: SystemKey.read(text, 'test') }
  const keys = new KeyRing({
    name: HERE,
    systemKey: () => at.systemKey,
    read: (id) => Promise.resolve(records.get(id)),
    now: () => 0,
  })
  return { keys, records, at }
}

async function workFor(keys: KeyRing, pass: string): Promise<number> {
  work.count = 0
  await keys.identify(pass)
  return work.count
}

const derived = () => SystemKey.read(text, 'test').tokenOf('resource', 'planner')
/** As a service has it whose system key went out of the file here. */
const ofOlderKey = () => SystemKey.read(newSystemKey(), 'older').tokenOf('resource', 'benchmark')

/** Later than a record is believed without looking. */
function later(): void {
  vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 3000)
}

describe('a pass that was seen before', () => {
  it.each([
    ['of a token that is made of the system key', derived, 'planner', () => []],
    ['of a key with a record', newToken, 'camera', (token: Token) => [recordOf(token)]],
    [
      'of a service with another system key, which has a record',
      ofOlderKey,
      'benchmark',
      (token: Token) => [recordOf(token, { kind: 'resource', name: 'benchmark' })],
    ],
  ])('%s costs neither a signature nor a derivation', async (_, make, name, recordsOf) => {
    const token = make()
    const { keys } = service(...recordsOf(token))
    const pass = passOf(token)
    expect(await workFor(keys, pass)).toBeGreaterThan(0)
    for (let count = 0; count < 3; count += 1) expect(await workFor(keys, pass)).toBe(0)
    expect(await keys.identify(pass)).toMatchObject({ id: token.id, name })
  })

  it('is known after a flood of invented ones, and of right ones to others by one who has a token', async () => {
    const [client, attacker] = [newToken(), newToken()]
    const { keys } = service(recordOf(client), recordOf(attacker, { name: 'attacker' }))
    const passes = [passOf(derived()), passOf(client)]
    for (const pass of passes) await keys.identify(pass)
    const form = passOf(attacker)
    const flood = Array.from({ length: 10_100 }, (_, index) => [
      form.replace(attacker.id, index % 2 ? `resource-r${index}` : index.toString(16).padStart(12, '0')),
      passOf(attacker, `r${index}`),
    ])
    const outcomes = await Promise.allSettled(flood.flat().map((pass) => keys.identify(pass)))
    expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set(['rejected']))
    for (const pass of passes) expect(await workFor(keys, pass)).toBe(0)
  })

  it('does not hold under another system key', async () => {
    const { keys, at } = service()
    const pass = passOf(derived())
    await keys.identify(pass)
    at.systemKey = SystemKey.read(newSystemKey(), 'other')
    await expect(keys.identify(pass)).rejects.toEqual(NOT_VALID)
    at.systemKey = SystemKey.read(`${newSystemKey()}\n${text}`, 'both')
    expect(await keys.identify(pass)).toMatchObject({ name: 'planner' })
  })

  it('does not hold two seconds after its key was revoked', async () => {
    const token = newToken()
    const { keys, records } = service(recordOf(token))
    const pass = passOf(token)
    await keys.identify(pass)
    records.set(token.id, recordOf(token, { revokedAt: new Date(1).toISOString() }))
    later()
    await expect(keys.identify(pass)).rejects.toEqual(NOT_VALID)
  })

  it('does not hold after the public key of its record was changed; that of the new one does', async () => {
    const token = newToken()
    const { keys, records } = service(recordOf(token))
    await keys.identify(passOf(token))
    const newer = { ...newToken(), id: token.id }
    records.set(token.id, recordOf(newer))
    later()
    await expect(keys.identify(passOf(token))).rejects.toEqual(NOT_VALID)
    expect(await workFor(keys, passOf(newer))).toBeGreaterThan(0)
    await expect(keys.identify(passOf(token))).rejects.toEqual(NOT_VALID)
  })

  it('makes no wrong one right', async () => {
    const token = newToken()
    const { keys } = service(recordOf(token))
    for (const [owner, right] of [
      [token, passOf(token)],
      [derived(), passOf(derived())],
    ] as const) {
      const wrong = passOf({ ...newToken(), id: owner.id })
      for (const pass of [wrong, right, wrong, right, wrong])
        await (pass === right ? keys.identify(pass) : expect(keys.identify(pass)).rejects.toEqual(NOT_VALID))
    }
  })

  it('to another service is refused each time', async () => {
    const { keys } = service()
    const pass = passOf(derived(), 'cloud')
    for (let count = 0; count < 2; count += 1)
      await expect(keys.identify(pass)).rejects.toMatchObject({ code: 'misdirected' })
  })
})
