/** An identity provider that is away in whatever way: who shows one of its tokens is told so soon, and let in once it is back. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Oidc } from '../../shared/platform/access/oidc.ts'
import { type KeySource, keysOfIssuer, OidcKeys } from '../../shared/platform/access/oidc-keys.ts'
import { waitAtMost } from '../../shared/platform/deadline.ts'
import { eventually } from '../support/eventually.ts'
import { PATIENCE_MS } from '../support/patience.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { AUDIENCE, type Away, IdentityProvider, newKey } from './identity-provider.ts'

let provider: IdentityProvider
let opened: Oidc | undefined
beforeEach(async () => {
  provider = await IdentityProvider.start()
})
afterEach(async () => {
  opened?.close()
  await provider.close()
})

/** Reads its keys again by a token at once, and waits for them for half a second. */
function open(source: KeySource = keysOfIssuer(provider.issuer, undefined), issuer = provider.issuer): Oidc {
  const { log } = recordedLog()
  const settings = {
    oidcIssuer: issuer,
    oidcAudience: [AUDIENCE],
    oidcJwks: '',
    oidcCa: '',
    oidcRolesClaim: ['roles'],
    oidcClockToleranceMs: 30_000,
  }
  opened = new Oidc(settings, new OidcKeys(source, log, 0, 500), log)
  opened.start()
  return opened
}

const READ = ['scission:read']
const soon = <T>(work: Promise<T>) => waitAtMost(work, PATIENCE_MS, 'no answer')

const WAYS: readonly Away[] = ['unavailable', 'resetting', 'silent', 'half a head', 'half a body', 'dripping']

describe.each(WAYS)('a provider that is away: %s', (way) => {
  it('from the start has its tokens refused with 503 until it is back', async () => {
    provider.goAway(way)
    const oidc = open()
    const token = await provider.token(READ)
    await expect(soon(oidc.identify(token))).rejects.toMatchObject({ code: 'issuerUnavailable' })
    provider.comeBack()
    expect(await eventually(() => oidc.identify(token))).toMatchObject({ name: 'alice' })
  })

  it('later keeps its keys, and has tokens of new ones refused until it is back', async () => {
    const oidc = open()
    const before = await provider.token(READ)
    await eventually(() => oidc.identify(before))
    provider.goAway(way)
    const key = await newKey('second')
    const anew = await provider.token(READ, { key })
    await expect(soon(oidc.identify(anew))).rejects.toMatchObject({ code: 'unauthenticated' })
    expect(await soon(oidc.identify(await provider.token(READ, { claims: { sub: 'b' } })))).toMatchObject({
      name: 'alice',
    })
    provider.keys.push(key)
    provider.comeBack()
    expect(await eventually(() => oidc.identify(anew))).toMatchObject({ name: 'alice' })
  })
})

describe('keys', () => {
  it('that cannot be reached have tokens refused with 503', async () => {
    const gone = await IdentityProvider.start()
    await gone.close()
    const oidc = open(keysOfIssuer(gone.issuer, undefined), gone.issuer)
    const token = await gone.token(READ)
    await expect(soon(oidc.identify(token))).rejects.toMatchObject({ code: 'issuerUnavailable' })
  })

  it('whose source never says anything, not even when it is stopped, have tokens refused with 503', async () => {
    let isStopped = false
    const read = (signal: AbortSignal) => {
      signal.addEventListener('abort', () => (isStopped = true))
      return new Promise<string>(() => {})
    }
    const oidc = open({ where: 'nowhere', everyMs: 60_000, read, close: () => undefined })
    await expect(soon(oidc.identify(await provider.token(READ)))).rejects.toMatchObject({
      code: 'issuerUnavailable',
      message: expect.stringContaining('no complete answer in 500 ms') as unknown,
    })
    expect(isStopped).toBe(true)
  })
})
