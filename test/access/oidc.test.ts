/** Which tokens of an identity provider hold, and what a service does while the provider changes its keys or is away. */
import { createHmac } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { exportSPKI, SignJWT, UnsecuredJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Oidc, type OidcSettings } from '../../shared/platform/access/oidc.ts'
import { type KeySource, keysOfIssuer, OidcKeys } from '../../shared/platform/access/oidc-keys.ts'
import { eventually } from '../support/eventually.ts'
import { withFolder } from '../support/folder.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { AUDIENCE, IdentityProvider, newKey, nowSeconds } from './identity-provider.ts'

const folder = withFolder('oidc')
let provider: IdentityProvider
const closing: (() => void)[] = []
beforeEach(async () => {
  provider = await IdentityProvider.start()
})
afterEach(async () => {
  vi.useRealTimers()
  for (const close of closing.splice(0)) close()
  await provider.close()
})

const settings = (more: Partial<OidcSettings> = {}): OidcSettings => ({
  oidcIssuer: provider.issuer,
  oidcAudience: [AUDIENCE],
  oidcJwks: '',
  oidcCa: '',
  oidcRolesClaim: ['roles', 'scope'],
  oidcClockToleranceMs: 30_000,
  ...more,
})

function open(more: Partial<OidcSettings> = {}) {
  const { log, lines } = recordedLog()
  const oidc = Oidc.from(settings(more), log)
  if (!oidc) throw new Error('no issuer is set')
  oidc.start()
  closing.push(() => oidc.close())
  return { oidc, lines }
}

/** Reads its keys again by a token as often as `askAgainMs` says. */
function openWith(askAgainMs: number, source: KeySource = keysOfIssuer(provider.issuer, undefined)) {
  const { log, lines } = recordedLog()
  const oidc = new Oidc(settings(), new OidcKeys(source, log, askAgainMs), log)
  oidc.start()
  closing.push(() => oidc.close())
  return { oidc, lines }
}

const NOT_VALID = expect.objectContaining({
  code: 'unauthenticated',
  message:
    'the credentials are not valid here: unknown, revoked or expired. scission keys list shows the keys of the system',
}) as unknown
const READ = ['scission:read']

describe('a token of the identity provider', () => {
  it('says who its owner is, the same with every token', async () => {
    const { oidc } = open()
    const who = await oidc.identify(await provider.token(READ))
    expect(who).toMatchObject({ kind: 'client', name: 'alice', read: true, infer: [] })
    const later = await oidc.identify(
      await provider.token(['scission:operator'], { claims: { preferred_username: 'alicia', iat: 1 } }),
    )
    expect(later).toMatchObject({ kind: 'operator', name: 'alicia' })
    expect('id' in later && 'id' in who && later.id === who.id && later.id).toMatch(/^oidc:[0-9a-f]{16}$/)
  })

  it.each(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'])(
    'holds if it is signed by %s',
    async (alg) => {
      provider.keys = [await newKey('one', alg)]
      const { oidc } = open()
      expect(await oidc.identify(await provider.token(READ))).toMatchObject({ name: 'alice' })
    },
  )

  it.each([
    ['a kind of access tokens', { header: { typ: 'at+jwt' } }],
    ['no kind', { header: { typ: undefined } }],
    ['several audiences', { claims: { aud: ['account', AUDIENCE] } }],
    ['no key id, where there is one key', { header: { kid: undefined } }],
    ['an expiry that the tolerance covers', { claims: { exp: nowSeconds() - 5 } }],
    ['a beginning that the tolerance covers', { claims: { nbf: nowSeconds() + 20 } }],
  ])('holds with %s', async (_, options) => {
    const { oidc } = open()
    expect(await oidc.identify(await provider.token(READ, options))).toMatchObject({ name: 'alice' })
  })

  it('holds without a key id, whichever of several keys it is of', async () => {
    provider.keys = [await newKey('one'), await newKey('two'), await newKey('three', 'RS256')]
    const { oidc } = open()
    for (const key of provider.keys)
      expect(
        await oidc.identify(await provider.token(READ, { key, header: { kid: undefined } })),
      ).toMatchObject({
        name: 'alice',
      })
    const key = await newKey('of somebody else')
    await expect(
      oidc.identify(await provider.token(READ, { key, header: { kid: undefined } })),
    ).rejects.toEqual(NOT_VALID)
  })
})

describe('a token that does not hold', () => {
  const HOUR = 3600
  it.each<[string, RegExp, () => Promise<string>]>([
    [
      'of another audience',
      /it is for "other", not for/,
      () => provider.token(READ, { claims: { aud: 'other' } }),
    ],
    [
      'of no audience',
      /it is for nothing, not for/,
      () => provider.token(READ, { claims: { aud: undefined } }),
    ],
    [
      'of another issuer',
      /its issuer is "https:\/\/evil\.example"/,
      () => provider.token(READ, { claims: { iss: 'https://evil.example' } }),
    ],
    [
      'of the issuer with a slash more',
      /its issuer is/,
      () => provider.token(READ, { claims: { iss: `${provider.issuer}/` } }),
    ],
    [
      'that expired an hour ago',
      /it expired 36\d\d s ago by the clock of this machine/,
      () => provider.token(READ, { claims: { exp: nowSeconds() - HOUR } }),
    ],
    [
      'that holds in an hour',
      /it holds only in (3600|359\d) s .*is a clock wrong/,
      () => provider.token(READ, { claims: { nbf: nowSeconds() + HOUR } }),
    ],
    ['that never expires', /exp/, () => provider.token(READ, { claims: { exp: undefined } })],
    ['whose expiry is a text', /exp/, () => provider.token(READ, { claims: { exp: '2099' } })],
    ['of nobody', /sub/, () => provider.token(READ, { claims: { sub: undefined } })],
    ['whose owner is no name', /sub/, () => provider.token(READ, { claims: { sub: { a: 1 } } })],
    ['of a key that nobody knows', /no applicable key/, () => provider.token(READ, { header: { kid: 'x' } })],
    [
      'of somebody else’s key with the name of the provider’s',
      /signature verification failed/,
      async () => provider.token(READ, { key: await newKey('first') }),
    ],
    ['of another kind', /typ "logout\+jwt"/, () => provider.token(READ, { header: { typ: 'logout+jwt' } })],
    ['that has to be proven', /cnf/, () => provider.token(READ, { claims: { cnf: { jkt: 'x' } } })],
    ['without a signature', /alg/, async () => new UnsecuredJWT({ roles: READ }).encode()],
    ['with an empty signature', /signature/, async () => (await provider.token(READ)).replace(/[^.]+$/, '')],
    ['that is cut off', /signature/, async () => (await provider.token(READ)).slice(0, -9)],
    ['with other claims under the signature', /signature/, () => withOtherClaims()],
    [
      'with an extension that has to be understood',
      /Extension Header Parameter "x" is not recognized/,
      () => withExtension(),
    ],
    ['of three dots and nothing', /./, () => Promise.resolve('a.b.c')],
    [
      'that is very long',
      /characters long/,
      () => provider.token(READ, { claims: { x: 'x'.repeat(20_000) } }),
    ],
  ])('%s: its owner is not told why, the log is', async (_, why, make) => {
    const { oidc, lines } = open()
    // A token that holds, by the same service: it is not refused for want of keys.
    await oidc.identify(await provider.token(READ))
    await expect(oidc.identify(await make())).rejects.toEqual(NOT_VALID)
    expect(lines.join('\n')).toMatch(why)
  })

  async function withOtherClaims(): Promise<string> {
    const [head, , signature] = (await provider.token(READ)).split('.')
    const [, claims] = (await provider.token(['scission:operator'])).split('.')
    return `${head}.${claims}.${signature}`
  }

  function withExtension(): Promise<string> {
    const { privateKey } = provider.keys[0]!
    return new SignJWT({
      roles: READ,
      iss: provider.issuer,
      aud: AUDIENCE,
      sub: 'f3a1',
      exp: nowSeconds() + 60,
    })
      .setProtectedHeader({ alg: 'ES256', kid: 'first', crit: ['x'], x: 1 })
      .sign(privateKey, { crit: { x: true } })
  }

  it('is one whose password is the public key', async () => {
    const rsa = await newKey('first', 'RS256')
    provider.keys = [rsa]
    const { oidc, lines } = open()
    const [, claims] = (await provider.token(READ)).split('.')
    const head = Buffer.from(JSON.stringify({ alg: 'HS256', kid: 'first', typ: 'JWT' })).toString('base64url')
    for (const password of [await exportSPKI(rsa.publicKey), JSON.stringify(rsa.jwk)]) {
      const signature = createHmac('sha256', password).update(`${head}.${claims}`).digest('base64url')
      await expect(oidc.identify(`${head}.${claims}.${signature}`)).rejects.toEqual(NOT_VALID)
    }
    expect(lines.join('\n')).toMatch(/"alg" .* not allowed/)
  })

  it('is written once for a flood, which is counted', async () => {
    const { oidc, lines } = open()
    const token = await provider.token(READ, { claims: { aud: 'other' } })
    for (let count = 0; count < 50; count += 1) await expect(oidc.identify(token)).rejects.toEqual(NOT_VALID)
    expect(lines.filter((line) => line.includes('was refused'))).toHaveLength(1)
    vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 11_000)
    await expect(oidc.identify(token)).rejects.toEqual(NOT_VALID)
    vi.restoreAllMocks()
    expect(lines.at(-1)).toMatch(/and 49 more like it/)
  })
})

describe('a token that was checked', () => {
  it('is not checked again, and ends when it expires', async () => {
    const { oidc } = open({ oidcClockToleranceMs: 0 })
    const token = await provider.token(READ)
    const verify = vi.spyOn(crypto.subtle, 'verify')
    await oidc.identify(token)
    for (let count = 0; count < 10; count += 1) await oidc.identify(token)
    expect(verify).toHaveBeenCalledTimes(1)
    verify.mockRestore()
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 299_000 })
    expect(await oidc.identify(token)).toMatchObject({ name: 'alice' })
    vi.setSystemTime(Date.now() + 2000)
    await expect(oidc.identify(token)).rejects.toEqual(NOT_VALID)
  })

  it('ends with the key that signed it', async () => {
    const { oidc } = openWith(0)
    const token = await provider.token(READ)
    await oidc.identify(token)
    provider.keys = [await newKey('second')]
    expect(await oidc.identify(await provider.token(READ))).toMatchObject({ name: 'alice' })
    await expect(oidc.identify(token)).rejects.toEqual(NOT_VALID)
  })
})

describe('the keys of the provider', () => {
  it('are read again for a token of a new one', async () => {
    const { oidc } = openWith(0)
    await oidc.identify(await provider.token(READ))
    provider.keys.unshift(await newKey('second'))
    expect(await oidc.identify(await provider.token(READ))).toMatchObject({ name: 'alice' })
  })

  it('are read again for a token of a new one that has no name', async () => {
    const { oidc } = openWith(0)
    await oidc.identify(await provider.token(READ))
    provider.keys = [await newKey('second')]
    const token = await provider.token(READ, { header: { kid: undefined } })
    expect(await oidc.identify(token)).toMatchObject({ name: 'alice' })
  })

  it('are not read again for each of many made-up ones', async () => {
    const { oidc } = open()
    await oidc.identify(await provider.token(READ))
    const before = provider.asked.length
    const made = await Promise.all(
      Array.from({ length: 40 }, (_, index) => provider.token(READ, { header: { kid: `made-up-${index}` } })),
    )
    await Promise.all(made.map((token) => expect(oidc.identify(token)).rejects.toEqual(NOT_VALID)))
    expect(provider.asked.length - before).toBeLessThanOrEqual(2)
  })

  it('are read once for many requests at the same time', async () => {
    const { oidc } = open()
    const tokens = await Promise.all(
      Array.from({ length: 30 }, (_, index) => provider.token(READ, { claims: { sub: String(index) } })),
    )
    await Promise.all(tokens.map((token) => oidc.identify(token)))
    expect(provider.asked).toEqual(['/realms/plant/.well-known/openid-configuration', '/realms/plant/certs'])
  })

  it('hold while the provider is away, and the service says that it is', async () => {
    const { oidc, lines } = openWith(0)
    await oidc.identify(await provider.token(READ))
    provider.goAway()
    await expect(oidc.identify(await provider.token(READ, { header: { kid: 'x' } }))).rejects.toEqual(
      NOT_VALID,
    )
    expect(await oidc.identify(await provider.token(READ))).toMatchObject({ name: 'alice' })
    expect(oidc.warning).toMatch(/cannot be read .*those that were read last are used/)
    expect(lines.join('\n')).toMatch(/those that were read last stay in use/)
    vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 25 * 3_600_000)
    await expect(oidc.identify(await provider.token(READ))).rejects.toMatchObject({
      code: 'issuerUnavailable',
    })
    vi.restoreAllMocks()
  })

  it('are missing while the provider is away from the start: 503 with the reason, until it comes', async () => {
    provider.goAway()
    const { oidc, lines } = openWith(50)
    const token = await provider.token(READ)
    await expect(oidc.identify(token)).rejects.toMatchObject({
      code: 'issuerUnavailable',
      message: expect.stringContaining('503') as unknown,
    })
    expect(oidc.facts).toMatchObject({ issuer: provider.issuer, keys: 0 })
    expect(oidc.warning).toMatch(/its tokens are not taken/)
    provider.comeBack()
    await eventually(() =>
      expect(oidc.facts).toEqual({ issuer: provider.issuer, audience: [AUDIENCE], keys: 1 }),
    )
    expect(await oidc.identify(token)).toMatchObject({ name: 'alice' })
    expect(lines.at(-1)).toMatch(/are read again/)
    expect(oidc.warning).toBeUndefined()
  })

  it.each([
    [
      'of another issuer',
      { status: 200, body: '{"issuer":"https://evil.example","jwks_uri":"https://x.example"}' },
      /is of the issuer/,
    ],
    ['not encrypted', { status: 200, body: '' }, /not at https: http:\/\/keys\.example/],
    ['no document', { status: 200, body: '[]' }, /no discovery document/],
    ['endless', { status: 200, body: ' '.repeat(300_000) }, /longer than 262144 bytes/],
    [
      'elsewhere',
      { status: 302, body: '', location: 'http://169.254.169.254/' },
      /302, and redirections are not followed/,
    ],
    ['broken', { status: 500, body: '' }, /answers 500/],
  ])('are not taken from a provider that is %s', async (name, answer, why) => {
    const body =
      name === 'not encrypted'
        ? JSON.stringify({ issuer: provider.issuer, jwks_uri: 'http://keys.example/certs' })
        : answer.body
    provider.answer = () => ({ ...answer, body })
    const { oidc } = openWith(60_000)
    await expect(oidc.identify(await provider.token(READ))).rejects.toMatchObject({
      code: 'issuerUnavailable',
      message: expect.stringMatching(why) as unknown,
    })
    expect(provider.asked).toHaveLength(1)
  })

  it('come from a file where there is no way to the provider', async () => {
    const file = path.join(folder(), 'keys.json')
    writeFileSync(file, provider.jwks)
    const { oidc } = open({ oidcIssuer: 'https://issuer.example', oidcJwks: file })
    const token = await provider.token(READ, { claims: { iss: 'https://issuer.example' } })
    expect(await oidc.identify(token)).toMatchObject({ name: 'alice' })
    expect(provider.asked).toEqual([])
  })

  it('come from a URL that is set, without a discovery document', async () => {
    const { oidc } = open({ oidcJwks: provider.jwksUrl })
    expect(await oidc.identify(await provider.token(READ))).toMatchObject({ name: 'alice' })
    expect(provider.asked).toEqual(['/realms/plant/certs'])
  })
})

describe('settings that cannot be', () => {
  it.each([
    [
      'an issuer without encryption',
      { oidcIssuer: 'http://issuer.example' },
      /SCISSION_OIDC_ISSUER=http:.*https/,
    ],
    [
      'keys without encryption',
      { oidcJwks: 'http://issuer.example/keys' },
      /SCISSION_OIDC_JWKS=http:.*https/,
    ],
    ['no audience', { oidcAudience: [] }, /SCISSION_OIDC_AUDIENCE is missing/],
    ['a file that is not there', { oidcJwks: '/absent/keys.json' }, /\/absent\/keys\.json cannot be used/],
    [
      'an authority that is not there',
      { oidcCa: '/absent/ca.pem' },
      /SCISSION_OIDC_CA: \/absent\/ca\.pem cannot be read/,
    ],
    ['an authority that is none', { oidcCa: import.meta.filename }, /SCISSION_OIDC_CA: .* no certificate/],
  ])('%s', (_, more, why) => {
    expect(() => Oidc.from(settings(more), recordedLog().log)).toThrow(why)
  })
})
