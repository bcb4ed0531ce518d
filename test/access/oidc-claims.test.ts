/** What the claims of a token say about its owner. */
import { describe, expect, it } from 'vitest'
import { mayDo } from '../../shared/platform/access/identity.ts'
import { identityIn } from '../../shared/platform/access/oidc-claims.ts'

const OWNER = { iss: 'https://issuer.example', sub: 'f3a1' }
const identity = (claims: Record<string, unknown>, ...paths: string[]) =>
  identityIn({ ...OWNER, ...claims }, paths.length > 0 ? paths : ['roles', 'scope'])

describe('the roles in a token', () => {
  it.each<[string, Record<string, unknown>, string]>([
    ['a list', { roles: ['scission:operator'] }, 'roles'],
    ['a text with blanks', { scope: 'openid scission:operator email' }, 'scope'],
    ['of a realm', { realm_access: { roles: ['scission:operator'] } }, 'realm_access.roles'],
    [
      'of a client',
      { resource_access: { 'my.app': { roles: ['scission:operator'] } } },
      'resource_access.my.app.roles',
    ],
    [
      'in a claim that is a URL',
      { 'https://x.example/roles': ['scission:operator'] },
      'https://x.example/roles',
    ],
  ])('are found: %s', (_, claims, path) => {
    expect(identity(claims, path)).toMatchObject({ kind: 'operator' })
    expect(identity(claims, 'elsewhere')).toMatchObject({ kind: 'client', read: false, infer: [] })
  })

  it('make a client of the names that they list', () => {
    const who = identity({ roles: ['scission:infer:mobile*', 'scission:infer:net'] })
    const may = (name: string) => mayDo(who, 'infer', name)
    expect(['mobilenet', 'net', 'network', 'other'].filter(may)).toEqual(['mobilenet', 'net'])
    expect(mayDo(who, 'read', undefined)).toBe(false)
    expect(mayDo(identity({ roles: ['scission:read'] }), 'read', undefined)).toBe(true)
    expect(mayDo(identity({ scope: 'scission:infer' }), 'infer', 'any')).toBe(true)
  })

  it.each([
    { roles: ['operator', 'scission', 'scission:resource', 'scission:Operator', 'xscission:operator'] },
    { roles: { 'scission:operator': true } },
    { roles: [['scission:operator'], 7, null] },
    { roles: 'x,scission:operator' },
    { roles: ['scission:infer:', 'scission:infer:a b', 'scission:infer:\n*'] },
    { __proto__: { roles: ['scission:operator'] } },
    {},
  ])('give nothing that they do not say: %j', (claims) => {
    expect(identity(claims)).toMatchObject({ kind: 'client', read: false, infer: [] })
  })

  it('are at most a hundred patterns', () => {
    const roles = Array.from({ length: 500 }, (_, index) => `scission:infer:a${index}`)
    expect(identity({ roles })).toMatchObject({ infer: { length: 100 } })
  })
})

describe('the name of an owner', () => {
  it.each([
    ['alice@example.org', 'alice@example.org'],
    ['zoë', 'zoë'],
    ['a\nb\u001b[2Jc "d" \u202e', 'a?b??2Jc??d???'],
    ['x'.repeat(1000), 'x'.repeat(64)],
    ['', 'f3a1'],
    [7, 'f3a1'],
  ])('is short and harmless: %j', (given, name) => {
    expect(identity({ preferred_username: given })).toMatchObject({ name })
  })

  it('does not tell who it is: the issuer and its subject do', () => {
    const idOf = (claims: Record<string, unknown>) => {
      const who = identity(claims)
      return 'id' in who ? who.id : undefined
    }
    expect(idOf({ preferred_username: 'x' })).toBe(idOf({ preferred_username: 'y' }))
    expect(idOf({ sub: 'other' })).not.toBe(idOf({}))
    expect(idOf({ iss: 'https://other.example' })).not.toBe(idOf({}))
  })
})
