/** An identity provider whose certificate is of an authority that Node does not know. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type CertificateFiles,
  makeAuthority,
  makeCertificate,
} from '../../infra/certificates/make-certificates.ts'
import { Oidc } from '../../shared/platform/access/oidc.ts'
import { keysOfIssuer, OidcKeys } from '../../shared/platform/access/oidc-keys.ts'
import { newSystemKey } from '../../shared/platform/access/system-key.ts'
import { eventually } from '../support/eventually.ts'
import { withFolder } from '../support/folder.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { withTestRedis } from '../support/redis.ts'
import { startServiceProcess } from '../support/service-process.ts'
import { AUDIENCE, IdentityProvider } from './identity-provider.ts'
import { send } from './services.ts'

const folder = withFolder('oidc-authority')
const redis = withTestRedis()
const file = (name: string) => path.join(folder(), name)
let authority: CertificateFiles
let stranger: CertificateFiles
let provider: IdentityProvider

beforeAll(async () => {
  authority = await makeAuthority('ours')
  stranger = await makeAuthority('theirs')
  writeFileSync(file('ca.pem'), authority.certificate)
  writeFileSync(file('stranger.pem'), stranger.certificate)
  const { certificate, key } = await makeCertificate(authority, 'login', { hosts: ['127.0.0.1'], days: 1 })
  provider = await IdentityProvider.start({ cert: certificate, key })
})
afterAll(() => provider.close())

/** Reads the keys again by a token at once. */
function open(caFile: string) {
  const { log, lines } = recordedLog()
  const keys = new OidcKeys(keysOfIssuer(provider.issuer, undefined, caFile), log, 20)
  const set = { oidcIssuer: provider.issuer, oidcAudience: [AUDIENCE], oidcRolesClaim: ['roles'] }
  return {
    oidc: new Oidc({ ...set, oidcJwks: '', oidcCa: caFile, oidcClockToleranceMs: 30_000 }, keys, log),
    lines,
  }
}
const READ = ['scission:read']

describe('the certificate of an identity provider', () => {
  it('is taken if the authority that is set has signed it', async () => {
    const { oidc } = open(file('ca.pem'))
    expect(await oidc.identify(await provider.token(READ))).toMatchObject({ kind: 'client', read: true })
    oidc.close()
  })

  it.each(['', 'stranger.pem'])(
    'of another authority than "%s" is refused, with what to set',
    async (name) => {
      const { oidc, lines } = open(name === '' ? '' : file(name))
      await expect(oidc.identify(await provider.token(READ))).rejects.toMatchObject({
        code: 'issuerUnavailable',
        message: expect.stringContaining('SCISSION_OIDC_CA names the file with it') as unknown,
      })
      expect(lines.join('\n')).toContain('an authority that is not known here')
      oidc.close()
    },
  )

  it('counts from the next reading on when the file of the authority was replaced, and while that is unusable says so', async () => {
    writeFileSync(file('late.pem'), stranger.certificate)
    const { oidc } = open(file('late.pem'))
    const token = await provider.token(READ)
    await expect(oidc.identify(token)).rejects.toThrow('SCISSION_OIDC_CA names the file')
    writeFileSync(file('late.pem'), 'half of')
    await eventually(() => expect(oidc.identify(token)).rejects.toThrow('late.pem is no certificate'))
    writeFileSync(file('late.pem'), authority.certificate)
    await eventually(async () => expect(await oidc.identify(token)).toMatchObject({ name: 'alice' }))
    oidc.close()
  })
})

describe('a service', () => {
  const env = () => ({
    REDIS_URL: redis().url,
    SCISSION_IDENTITY: 'always',
    SCISSION_SYSTEM_KEY: newSystemKey(),
    SCISSION_DATA: folder(),
    SCISSION_OIDC_ISSUER: provider.issuer,
    SCISSION_OIDC_AUDIENCE: AUDIENCE,
  })

  it('takes the tokens of a provider with the authority that SCISSION_OIDC_CA names', async () => {
    const planner = await startServiceProcess('planner', { ...env(), SCISSION_OIDC_CA: file('ca.pem') })
    const token = await provider.token(READ)
    await eventually(async () =>
      expect(await send('GET', `${planner.url}/v1/links`, token)).toMatchObject({ status: 200 }),
    )
    await planner.stop()
  })

  it('does not start with a file that holds none', async () => {
    writeFileSync(file('none.pem'), 'none')
    const started = startServiceProcess('planner', { ...env(), SCISSION_OIDC_CA: file('none.pem') })
    await expect(started).rejects.toThrow(/SCISSION_OIDC_CA: .*none\.pem is no certificate/)
  })
})
