/**
 * Every route × who calls it × the door: the expected status comes from the table that docs/reference/access.md shows. The
 * routes are those that the services describe, so that a new one is here too.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { KeyRecord } from '../../shared/contracts/key.ts'
import {
  formatToken,
  hashOf,
  newToken,
  publicBytesOf,
  signingKeyOf,
} from '../../shared/platform/access/token.ts'
import {
  accessRows,
  type AccessRow,
  CALLERS,
  type Caller,
  expectedRefusal,
} from '../docs/reference/access.ts'
import { AUDIENCE, IdentityProvider, newKey, nowSeconds } from './identity-provider.ts'
import { type SecuredServices, send, SHOWS, startSecuredServices } from './services.ts'

let system: SecuredServices
let provider: IdentityProvider
let rows: AccessRow[]

beforeAll(async () => {
  provider = await IdentityProvider.start()
  system = await startSecuredServices({
    SCISSION_OIDC_ISSUER: provider.issuer,
    SCISSION_OIDC_AUDIENCE: AUDIENCE,
  })
  rows = await accessRows()
})
afterAll(async () => {
  await system.close()
  await provider.close()
})

/** Nothing of these names is there. */
const pathOf = ({ path }: AccessRow): string =>
  path
    .replace('{from}-{to}', '0-1')
    .replace('{range}', '0-1')
    .replace('{model}', 'net')
    .replaceAll(/\{\w+\}/g, 'absent')

async function tokens(): Promise<Record<Caller, string | undefined>> {
  const client = await system.keys.add({ kind: 'client', name: 'camera' }, 'test')
  const operator = await system.keys.add({ kind: 'operator', name: 'someone' }, 'test')
  const resource = await system.keys.add({ kind: 'resource', name: 'edge' }, 'test')
  return {
    nobody: undefined,
    client: client.token,
    operator: operator.token,
    resource: resource.token,
    planner: system.tokenOf('resource', 'planner'),
  }
}

/** Sends every request through every door. @returns what was answered otherwise than expected. */
async function differences(
  token: string | undefined,
  expected: (row: AccessRow, shows: (typeof SHOWS)[number]) => number | undefined,
): Promise<string[]> {
  const found: string[] = []
  for (const shows of SHOWS)
    for (const row of rows) {
      const refusal = expected(row, shows)
      const { status, text } = await send(row.method, system.urlOf(row.service, shows) + pathOf(row), token)
      const isHidden = status === 404 && /there is no|Not Found/.test(text)
      const isRight =
        refusal === undefined
          ? status !== 401 && status !== 403 && !isHidden
          : status === refusal && isHidden === (refusal === 404)
      if (!isRight)
        found.push(
          `${row.service}, ${shows}: ${row.method} ${row.path}: ${status}, not ${refusal ?? 'let in'}: ${text.slice(0, 200)}`,
        )
    }
  return found
}

describe('every route, behind every door', () => {
  for (const caller of Object.keys(CALLERS) as Caller[])
    it(`answers ${caller} as the table says`, async () => {
      const token = (await tokens())[caller]
      expect(await differences(token, ({ access }, shows) => expectedRefusal(access, caller, shows))).toEqual(
        [],
      )
    })

  it('answers an operator who has the system key as it does one with a token', async () => {
    const token = system.tokenOf('operator', 'system')
    expect(
      await differences(token, ({ access }, shows) => expectedRefusal(access, 'operator', shows)),
    ).toEqual([])
  })

  it.each([
    ['operator', ['scission:operator']],
    ['client', ['scission:infer:net', 'scission:infer:absent', 'scission:read']],
  ] as const)('answers an %s of the identity provider as one with a key', async (caller, roles) => {
    const token = await provider.token(roles)
    expect(await differences(token, ({ access }, shows) => expectedRefusal(access, caller, shows))).toEqual(
      [],
    )
  })

  it('answers somebody of the identity provider without roles as a client that has only a name', async () => {
    const token = await provider.token(['admin', 'scission:resource'])
    const may = ['anyone', 'identified']
    expect(
      await differences(
        token,
        ({ access }, shows) =>
          expectedRefusal(access, 'client', shows) ?? (may.includes(access) ? undefined : 403),
      ),
    ).toEqual([])
  })

  it('answers a client without permissions as one that has only a name', async () => {
    const { token } = await system.keys.add(
      { kind: 'client', name: 'c', infer: ['other*'], read: false },
      'test',
    )
    const may = ['anyone', 'identified']
    expect(
      await differences(
        token,
        ({ access }, shows) =>
          expectedRefusal(access, 'client', shows) ?? (may.includes(access) ? undefined : 403),
      ),
    ).toEqual([])
  })

  describe.each([
    ['a malformed token', () => 'scn_what'],
    ['something else than a token', () => 'eyJhbGciOiJub25lIn0.e30.'],
    ['an unknown token', () => formatToken(newToken())],
    ['a wrong secret', () => wrongSecret()],
    ['a token of another system', () => `scn_operator-system_${'A'.repeat(43)}`],
    ['an expired token', () => expired()],
    ['a revoked token', () => revoked()],
    [
      'an expired token of the identity provider',
      () => provider.token(['scission:operator'], { claims: { exp: nowSeconds() - 3600 } }),
    ],
    [
      'a token that somebody else signed',
      async () => provider.token(['scission:operator'], { key: await newKey('first') }),
    ],
  ])('%s', (_, make) => {
    it('is answered as nobody is, and not told what is wrong with it', async () => {
      const token = await make()
      expect(
        await differences(token, ({ access }, shows) => expectedRefusal(access, 'nobody', shows)),
      ).toEqual([])
      const { text } = await send('GET', `${system.urlOf('planner', 'everything')}/v1/links`, token)
      expect(JSON.parse(text)).toEqual({ error: { code: 'unauthenticated', message: NOT_VALID } })
      const v2 = await send('POST', `${system.urlOf('inference', 'everything')}/v2/models/net/infer`, token)
      expect(JSON.parse(v2.text)).toEqual({ error: NOT_VALID })
    })
  })
})

const NOT_VALID =
  'the credentials are not valid here: unknown, revoked or expired. scission keys list shows the keys of the system'

async function wrongSecret(): Promise<string> {
  const { id } = await system.keys.add({ kind: 'operator', name: 'x' }, 'test')
  return formatToken({ ...newToken(), id })
}

async function revoked(): Promise<string> {
  const { id, token } = await system.keys.add({ kind: 'operator', name: 'x' }, 'test')
  await system.keys.revoke(id)
  return token
}

async function expired(): Promise<string> {
  const token = newToken()
  const now = await system.state.clock.read()
  const record: KeyRecord = {
    id: token.id,
    kind: 'operator',
    name: 'x',
    hash: hashOf(token.secret),
    publicKey: publicBytesOf(signingKeyOf(token.secret)).toString('base64url'),
    createdAt: new Date(now - 2000).toISOString(),
    createdBy: 'test',
    expiresAt: new Date(now - 1000).toISOString(),
  }
  await system.state.keys.put(token.id, record)
  return formatToken(token)
}
