/** Short texts from outside: addresses, queries, credentials, seals, notices of changes. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { z } from 'zod'
import { parseRange } from '../../../services/benchmark/models/send-file.ts'
import { PlanQuery } from '../../../shared/contracts/plan.ts'
import { parsePlanId } from '../../../shared/contracts/plan-id.ts'
import { parseInputShapes } from '../../../shared/contracts/input-shapes.ts'
import { parseShapeRanges } from '../../../shared/contracts/shape-ranges.ts'
import { figures } from '../../../shared/contracts/query-values.ts'
import { patternOf } from '../../../shared/platform/access/identity.ts'
import { Oidc } from '../../../shared/platform/access/oidc.ts'
import { OidcKeys } from '../../../shared/platform/access/oidc-keys.ts'
import { credentialsOfToken, parsePass } from '../../../shared/platform/access/pass.ts'
import { newSystemKey, SystemKey } from '../../../shared/platform/access/system-key.ts'
import { formatToken, newToken, parseToken } from '../../../shared/platform/access/token.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { check } from '../../../shared/platform/outside-input.ts'
import { parseAsked } from '../../../shared/platform/redis/revision.ts'
import { openSeal, sealText } from '../../../shared/platform/redis/seal.ts'
import { allowed, PURE, refusing, type Target, text } from '../target.ts'

const Figures = figures(z.string(), z.number())

export const queries: Target = {
  name: 'queries',
  share: 8,
  sample: 1500,
  ...PURE,
  open: () => ({
    seeds: [
      'input_1:1x3x224x224,ids:1x8',
      '{"a,b":[1,"8..512"]}',
      'ids:1x8..512',
      'device:20,edge:5',
      'bytes=0-100',
      'abc123.77',
      'latest',
      '*-a*-b*-c-a-a-a-a-b-b-b-b-c',
      'model=net&objective=latency&resources=device,edge&whatIf=&limit=3&maxLatencyMs=20&codecs=none,q8',
    ].map(text),
    run: (input) => {
      const given = Buffer.from(input).toString()
      patternOf(given.slice(0, given.length >> 1)).test(given.slice(given.length >> 1))
      for (const parse of [parseInputShapes, parseShapeRanges, parsePlanId, parseAsked])
        refusing(() => parse(given))
      parseRange(given, 1000)
      check(Figures, given)
      check(PlanQuery, Object.fromEntries(new URLSearchParams(given)))
    },
  }),
}

export const credentials: Target = {
  name: 'credentials',
  share: 3,
  sample: 1000,
  ...PURE,
  open: () => {
    const key = SystemKey.read(newSystemKey(), 'fuzz')
    const sign = (message: string) => key.sign(message)
    const sealed = sealText('resources', 'edge', '{"name":"edge"}', { by: 'system', sign })
    const planner = key.tokenOf('resource', 'planner')
    const shown =
      credentialsOfToken(() => planner)
        .authorization('edge')
        ?.replace('Bearer ', '') ?? ''
    const seeds = [
      formatToken(newToken()),
      formatToken(key.tokenOf('resource', 'edge')),
      newSystemKey(),
      key.publicText,
      sealed,
      shown,
    ]
    return {
      seeds: seeds.map(text),
      run: (input) => {
        const given = Buffer.from(input).toString()
        const token = parseToken(given)
        if (token) key.derived(token)
        const pass = parsePass(given)
        if (pass && given !== shown && key.signerOf(pass)) throw new Error('a changed pass is believed')
        refusing(() => SystemKey.read(given, 'fuzz'))
        const opened = openSeal('resources', 'edge', given)
        if (opened && given !== sealed && key.isSigned(opened.message, opened.signature))
          throw new Error('a changed document is believed')
      },
    }
  },
}

const ISSUER = 'https://issuer.example'
const AUDIENCE = 'scission'

/** Tokens of an identity provider. */
export const providerTokens: Target = {
  name: 'provider-tokens',
  share: 3,
  sample: 500,
  ...PURE,
  open: async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256')
    const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one' }] })
    const source = {
      where: 'fuzz',
      everyMs: 60_000,
      read: () => Promise.resolve(keys),
      close: () => undefined,
    }
    const settings = {
      oidcIssuer: ISSUER,
      oidcAudience: [AUDIENCE],
      oidcJwks: '',
      oidcRolesClaim: ['realm_access.roles', 'scope'],
      oidcCa: '',
      oidcClockToleranceMs: 0,
    }
    const log = createLog('fuzz', 'silent')
    const oidc = new Oidc(settings, new OidcKeys(source, log), log)
    const claims = { scope: 'scission:infer:net*', realm_access: { roles: ['scission:read'] } }
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', kid: 'one', typ: 'JWT' })
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setSubject('a')
      .setExpirationTime('1d')
      .sign(privateKey)
    const signed = token.slice(0, token.lastIndexOf('.'))
    const run = async (input: Uint8Array): Promise<void> => {
      const given = Buffer.from(input).toString()
      try {
        await oidc.identify(given)
      } catch (thrown) {
        return allowed(thrown)
      }
      if (given.slice(0, given.lastIndexOf('.')) !== signed) throw new Error('a changed token is believed')
    }
    return { seeds: [text(token)], run, close: async () => oidc.close() }
  },
}
