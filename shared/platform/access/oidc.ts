/**
 * Tokens of an identity provider (JSON Web Tokens, RFC 7519, of an OpenID Connect issuer): checked here with the provider's public
 * keys, so that no request goes to it.
 *
 *   token ──▶ checked before? ──▶ who it was, until it expires or the keys are others
 *         └──▶ algorithm, kind, signature, issuer, audience, times ──▶ who its claims name (oidc-claims.ts)
 *
 * Its times are told by the clock of this machine. The caller is not told what is wrong with a token; the log is.
 */
import { createHash } from 'node:crypto'
import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify, type JWTVerifyGetKey } from 'jose'
import { LRUCache } from 'lru-cache'
import { coerceError, ScissionError } from '../errors.ts'
import { hidePasswordOf } from '../hidden-passwords.ts'
import type { Logger } from '../log.ts'
import type { Identity } from './identity.ts'
import { notValid } from './key-ring.ts'
import { identityIn } from './oidc-claims.ts'
import { isSafeUrl, keysInFile, keysOfIssuer, OidcKeys } from './oidc-keys.ts'

export interface OidcSettings {
  /** '' = none. */
  oidcIssuer: string
  oidcAudience: readonly string[]
  /** A URL or a file; '' = as the issuer says. */
  oidcJwks: string
  /** A file; '' = authorities that Node knows. */
  oidcCa: string
  oidcRolesClaim: readonly string[]
  oidcClockToleranceMs: number
}

/** Those by which nobody can sign who has the public keys only. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]
/** Access tokens (RFC 9068, 2.1). Other kinds, such as a logout token, are signed by the same keys. */
const KINDS = new Set([undefined, 'jwt', 'application/jwt', 'at+jwt', 'application/at+jwt'])

/** Node takes 16 KiB for all headers of a request. */
const MAX_TOKEN_CHARACTERS = 12 * 1024
const MAX_CHECKED = 10_000
/** Refusals of one kind are written so often at most; the others are counted. */
const WRITE_EVERY_MS = 10_000

interface Checked {
  identity: Identity
  /** Epoch ms by the clock of this machine, with the tolerance. */
  untilMs: number
}

export class Oidc {
  readonly #settings: OidcSettings
  readonly #keys: OidcKeys
  readonly #log: Logger
  readonly #checked = new LRUCache<string, Checked>({ max: MAX_CHECKED })
  /** The keys by which they were. */
  #checkedBy: JWTVerifyGetKey | undefined
  /** Kind of refusal → until when it is only counted, and how many were. */
  readonly #written = new Map<string, { untilMs: number; untold: number }>()

  constructor(settings: OidcSettings, keys: OidcKeys, log: Logger) {
    this.#settings = settings
    this.#keys = keys
    this.#log = log
  }

  /** @returns undefined if no issuer is set. @throws ScissionError badRequest if the settings cannot be used. */
  static from(settings: OidcSettings, log: Logger): Oidc | undefined {
    const { oidcIssuer, oidcAudience, oidcJwks, oidcCa } = settings
    if (oidcIssuer === '') return undefined
    if (oidcAudience.length === 0)
      throw new ScissionError(
        'badRequest',
        'SCISSION_OIDC_AUDIENCE is missing: without it every token of the issuer would hold here, whatever application it was made for',
      )
    const isUrl = /^https?:\/\//i.test(oidcJwks)
    for (const [setting, url] of Object.entries({
      SCISSION_OIDC_ISSUER: oidcIssuer,
      ...(isUrl && { SCISSION_OIDC_JWKS: oidcJwks }),
    }))
      if (!URL.canParse(url) || !isSafeUrl(url))
        throw new ScissionError(
          'badRequest',
          `${setting}=${hidePasswordOf(url)}: it has to be an https URL, or an http one of this machine (127.0.0.1): who can ` +
            'change what the provider answers could make tokens',
        )
    const source =
      oidcJwks !== '' && !isUrl
        ? keysInFile(oidcJwks)
        : keysOfIssuer(oidcIssuer, oidcJwks === '' ? undefined : oidcJwks, oidcCa)
    return new Oidc(settings, new OidcKeys(source, log), log)
  }

  /** Reads the keys of the provider; while it does not answer, the service runs without them and says so. */
  start(): void {
    this.#keys.start()
  }

  close(): void {
    this.#keys.close()
  }

  /** For /healthz. */
  get facts(): Record<string, unknown> {
    const { oidcIssuer, oidcAudience } = this.#settings
    const { count, fault } = this.#keys
    return { issuer: oidcIssuer, audience: oidcAudience, keys: count, ...(fault !== undefined && { fault }) }
  }

  /** What does not work now; undefined if all does. */
  get warning(): string | undefined {
    const { count, fault } = this.#keys
    if (fault === undefined) return undefined
    return `the keys of the identity provider ${this.#settings.oidcIssuer} cannot be read (${fault}): ${
      count > 0 ? 'those that were read last are used' : 'its tokens are not taken'
    }`
  }

  /** @throws ScissionError unauthenticated; issuerUnavailable if the provider's keys are not known. */
  async identify(token: string): Promise<Identity> {
    if (token.length > MAX_TOKEN_CHARACTERS)
      throw this.#refused(
        'length',
        `it is ${token.length} characters long, at most ${MAX_TOKEN_CHARACTERS} are read`,
      )
    const keys = await this.#keys.current()
    if (keys !== this.#checkedBy) this.#checked.clear()
    this.#checkedBy = keys
    const digest = createHash('sha256').update(token).digest('base64')
    const known = this.#checked.get(digest)
    if (known && Date.now() < known.untilMs) return known.identity
    try {
      const checked = await this.#check(token)
      // Keys that were exchanged meanwhile may not have this one any more.
      if (keys === this.#checkedBy) this.#checked.set(digest, checked)
      return checked.identity
    } catch (thrown) {
      if (thrown instanceof ScissionError) throw thrown
      throw this.#refused(...whyRefused(thrown, this.#settings))
    }
  }

  /** @throws jose's errors; ScissionError issuerUnavailable */
  async #check(token: string): Promise<Checked> {
    const { payload, kind } = await this.#verified(token)
    if (!KINDS.has(kind))
      throw new errors.JWTInvalid(`its header says typ ${quoted(kind)}: it is no access token`)
    // Whoever shows it has to prove more than that it was seen: that is not asked for here.
    if (payload['cnf'] !== undefined) throw new errors.JWTInvalid('it is bound to a key of its owner (cnf)')
    const { iss = '', sub = '', exp = 0 } = payload
    if (typeof sub !== 'string' || sub === '') throw new errors.JWTInvalid('its sub is no name')
    return {
      identity: identityIn({ ...payload, iss, sub }, this.#settings.oidcRolesClaim),
      untilMs: 1000 * exp + this.#settings.oidcClockToleranceMs,
    }
  }

  async #verified(token: string): Promise<Verified> {
    try {
      return await this.#verifiedBy(await this.#keys.current(), token)
    } catch (thrown) {
      if (!mayBeOfNewKey(thrown, token)) throw thrown
      await this.#keys.renew()
      return this.#verifiedBy(await this.#keys.current(), token)
    }
  }

  async #verifiedBy(keys: JWTVerifyGetKey, token: string): Promise<Verified> {
    const { oidcIssuer, oidcAudience, oidcClockToleranceMs } = this.#settings
    const options = {
      algorithms: ALGORITHMS,
      issuer: oidcIssuer,
      audience: [...oidcAudience],
      clockTolerance: oidcClockToleranceMs / 1000,
      requiredClaims: ['exp', 'sub'],
    }
    try {
      const { payload, protectedHeader } = await jwtVerify(token, keys, options)
      return { payload, kind: protectedHeader.typ?.toLowerCase() }
    } catch (thrown) {
      if (!(thrown instanceof errors.JWKSMultipleMatchingKeys)) throw thrown
      // It names no key: each that it may be of is tried.
      for await (const key of thrown)
        try {
          const { payload, protectedHeader } = await jwtVerify(token, key, options)
          return { payload, kind: protectedHeader.typ?.toLowerCase() }
        } catch (refused) {
          if (!(refused instanceof errors.JWSSignatureVerificationFailed)) throw refused
        }
      throw new errors.JWSSignatureVerificationFailed()
    }
  }

  /** Writes why a token is refused, though not for each of a flood. @returns what its owner is told. */
  #refused(kind: string, why: string): ScissionError {
    const now = performance.now()
    const before = this.#written.get(kind)
    if (before && now < before.untilMs) before.untold += 1
    else {
      const others = before?.untold ? ` (and ${before.untold} more like it since the last line)` : ''
      this.#log.warn(`a token of an identity provider was refused: ${why}${others}`)
      this.#written.set(kind, { untilMs: now + WRITE_EVERY_MS, untold: 0 })
    }
    return notValid()
  }
}

interface Verified {
  payload: JWTPayload
  /** Header `typ`, in lower case. */
  kind: string | undefined
}

/** Whether other keys may be the right ones: its key is unknown, or it names none and is of none. */
function mayBeOfNewKey(thrown: unknown, token: string): boolean {
  if (thrown instanceof errors.JWKSNoMatchingKey) return true
  return (
    thrown instanceof errors.JWSSignatureVerificationFailed && decodeProtectedHeader(token).kid === undefined
  )
}

/** @returns the kind of fault, of which there are few, and what is wrong in words for an operator. */
function whyRefused(thrown: unknown, settings: OidcSettings): [kind: string, why: string] {
  const error = coerceError(thrown)
  if (!(error instanceof errors.JWTExpired) && !(error instanceof errors.JWTClaimValidationFailed))
    return [error instanceof errors.JOSEError ? error.code : error.name, error.message]
  const { claim, payload } = error
  const now = Date.now() / 1000
  const value = payload[claim]
  const byClock = `by the clock of this machine, ${new Date().toISOString()}`
  if (claim === 'exp' && typeof value === 'number')
    return [claim, `it expired ${Math.round(now - value)} s ago ${byClock}`]
  if (claim === 'nbf' && typeof value === 'number')
    return [claim, `it holds only in ${Math.round(value - now)} s ${byClock}: is a clock wrong?`]
  if (claim === 'iss') return [claim, `its issuer is ${quoted(value)}, not ${quoted(settings.oidcIssuer)}`]
  if (claim === 'aud')
    return [
      claim,
      `it is for ${quoted(value)}, not for ${quoted(settings.oidcAudience)} (SCISSION_OIDC_AUDIENCE)`,
    ]
  return [claim, error.message]
}

const MAX_QUOTED_CHARACTERS = 200
const quoted = (value: unknown): string =>
  (JSON.stringify(value) ?? 'nothing').slice(0, MAX_QUOTED_CHARACTERS)
