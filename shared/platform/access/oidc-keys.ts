/**
 * The public keys of an identity provider: read at the start and then every few minutes, from its address or from a file, so
 * that requests wait for it only if a token names a key that is not known yet. Such a token has the keys read again, but not
 * more often than every ten seconds, whoever makes up how many. While the provider is away, the keys that it had last hold for a day.
 */
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createLocalJWKSet, type JWTVerifyGetKey } from 'jose'
import { z } from 'zod'
import { NO_CREDENTIALS } from '../credentials.ts'
import { waitWithin } from '../deadline.ts'
import { coerceError, ScissionError } from '../errors.ts'
import { HttpClient } from '../http-client.ts'
import { isLoopback } from '../loopback.ts'
import type { Logger } from '../log.ts'
import { checkJson } from '../outside-input.ts'
import { certificateFault, readAuthority } from './tls.ts'

/** How often the keys are read, from an address and from a file. */
const READ_URL_MS = 10 * 60_000
const READ_FILE_MS = 10_000
/** Not more often than this because of a token, and this soon again after they could not be read. */
const ASK_AGAIN_MS = 10_000
/** Keys that could not be read again for so long count no more. */
const STALE_MS = 24 * 3_600_000

/** Longest wait for the keys, discovery document included, from whatever has them; and the longest answer. */
const PATIENCE_MS = 5000
const MAX_BYTES = 256 * 1024
const MAX_KEYS = 100
const CA_SETTING = 'SCISSION_OIDC_CA'

const KeySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(MAX_KEYS) })
const Discovery = z.looseObject({ issuer: z.string(), jwks_uri: z.url() })

export interface KeySource {
  /** Names it in logs and errors. */
  where: string
  everyMs: number
  /**
   * @param signal aborted when nobody waits for them any more.
   * @returns the keys as JSON (RFC 7517, 5).
   * @throws Error with a reason for an operator.
   */
  read: (signal: AbortSignal) => Promise<string>
  close: () => void
}

interface Known {
  text: string
  count: number
  keyOf: JWTVerifyGetKey
}

export class OidcKeys {
  readonly #source: KeySource
  readonly #log: Logger
  readonly #askAgainMs: number
  readonly #patienceMs: number
  #known: Known | undefined
  #readAtMs = -Infinity
  #triedAtMs = -Infinity
  #trying: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #fault: string | undefined
  #isClosed = false

  constructor(source: KeySource, log: Logger, askAgainMs = ASK_AGAIN_MS, patienceMs = PATIENCE_MS) {
    this.#source = source
    this.#log = log
    this.#askAgainMs = askAgainMs
    this.#patienceMs = patienceMs
  }

  /** Reads them now, and from now on again and again. */
  start(): void {
    void this.#readAgain()
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#source.close()
  }

  get count(): number {
    return this.#known?.count ?? 0
  }

  /** Why they could not be read when that was last tried. */
  get fault(): string | undefined {
    return this.#fault
  }

  /**
   * Finds the key of a token; another function as soon as the keys are others.
   * @throws ScissionError issuerUnavailable if no keys are known.
   */
  async current(): Promise<JWTVerifyGetKey> {
    if (!this.#isUsable) await this.renew()
    if (this.#known && this.#isUsable) return this.#known.keyOf
    throw new ScissionError(
      'issuerUnavailable',
      `tokens of the identity provider cannot be checked now: ${this.#fault ?? 'its keys are not known yet'}`,
    )
  }

  /** Reads the keys again, unless that was tried a moment ago; the tokens that wait share one reading. */
  async renew(): Promise<void> {
    const isTooSoon = performance.now() - this.#triedAtMs < this.#askAgainMs
    await (this.#trying ?? (isTooSoon ? undefined : this.#readAgain()))
  }

  get #isUsable(): boolean {
    return this.#known !== undefined && performance.now() - this.#readAtMs < STALE_MS
  }

  #readAgain(): Promise<void> {
    clearTimeout(this.#timer)
    this.#triedAtMs = performance.now()
    this.#trying = this.#read().finally(() => {
      this.#trying = undefined
      if (this.#isClosed) return
      const nextMs = this.#fault === undefined ? this.#source.everyMs : this.#askAgainMs
      this.#timer = setTimeout(() => void this.#readAgain(), nextMs).unref()
    })
    return this.#trying
  }

  async #read(): Promise<void> {
    const { where } = this.#source
    try {
      const text = await this.#readInTime()
      if (this.#known?.text !== text) this.#known = keysIn(text, where)
      this.#readAtMs = performance.now()
      if (this.#fault !== undefined) this.#log.info(`the keys of ${where} are read again`)
      this.#fault = undefined
    } catch (thrown) {
      if (this.#isClosed) return
      const { message } = coerceError(thrown)
      const what = this.#isUsable
        ? 'those that were read last stay in use'
        : 'none of its tokens holds until then'
      if (message !== this.#fault)
        this.#log.warn(`the keys of ${where} cannot be read: ${message}; ${what}. It is tried again`)
      this.#fault = message
    }
  }

  /** Requests wait for it: it ends, whatever becomes of what it has begun. */
  async #readInTime(): Promise<string> {
    const stop = new AbortController()
    const deadline = performance.now() + this.#patienceMs
    const tooLate = () => new Error(`no complete answer in ${this.#patienceMs} ms`)
    try {
      return await waitWithin(this.#source.read(stop.signal), { deadline }, tooLate)
    } finally {
      stop.abort()
    }
  }
}

/** @throws Error with what is wrong with them. */
function keysIn(text: string, where: string): Known {
  const { value, fault } = checkJson(KeySet, text)
  if (!value) throw new Error(`${where} has no JSON Web Key Set: ${fault}`)
  return { text, count: value.keys.length, keyOf: createLocalJWKSet(value) }
}

/** @returns the keys in a file, for sites without a way to the provider. @throws ScissionError badRequest if it cannot be used. */
export function keysInFile(file: string): KeySource {
  try {
    keysIn(readFileSync(file, 'utf8'), file)
  } catch (thrown) {
    throw new ScissionError(
      'badRequest',
      `SCISSION_OIDC_JWKS: ${file} cannot be used: ${coerceError(thrown).message}`,
      undefined,
      thrown,
    )
  }
  const read = (signal: AbortSignal) => readFile(file, { encoding: 'utf8', signal })
  return { where: file, everyMs: READ_FILE_MS, read, close: () => undefined }
}

/**
 * @param jwks where the keys are; absent = the provider's discovery document says it (OpenID Connect Discovery 1.0, 4).
 * @param caFile the authority of its certificates, read again with the keys; '' = those that Node knows.
 * @throws ScissionError badRequest if that file cannot be used.
 */
export function keysOfIssuer(issuer: string, jwks: string | undefined, caFile = ''): KeySource {
  const authority = new Authority(caFile)
  const client = new HttpClient({
    timeoutMs: PATIENCE_MS,
    shown: { to: issuer, credentials: { ...NO_CREDENTIALS, tls: authority } },
  })
  const read = async (signal: AbortSignal) => {
    authority.readAgain()
    return textAt(client, jwks ?? (await discovered(client, issuer, signal)), signal)
  }
  return { where: jwks ?? issuer, everyMs: READ_URL_MS, read, close: () => client.close() }
}

/** Whom a provider's certificates have to be of. Another object each time it has changed. */
class Authority {
  readonly #file: string
  #context: { ca?: string } = {}

  constructor(file: string) {
    this.#file = file
    this.readAgain()
  }

  get context(): { ca?: string } {
    return this.#context
  }

  readAgain(): void {
    if (this.#file === '') return
    const ca = readAuthority(this.#file, CA_SETTING)
    if (ca !== this.#context.ca) this.#context = { ca }
  }
}

/** Keys that somebody on the way can change let that one in. */
export const isSafeUrl = (url: string): boolean => {
  const { protocol, hostname } = new URL(url)
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname))
}

async function discovered(client: HttpClient, issuer: string, signal: AbortSignal): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const { value, fault } = checkJson(Discovery, await textAt(client, url, signal))
  if (!value) throw new Error(`${url} is no discovery document: ${fault}`)
  if (value.issuer !== issuer)
    throw new Error(
      `${url} is of the issuer ${JSON.stringify(value.issuer)}: SCISSION_OIDC_ISSUER has to be the same, to the last slash`,
    )
  if (!isSafeUrl(value.jwks_uri))
    throw new Error(`${url} names keys that are not at https: ${value.jwks_uri}`)
  return value.jwks_uri
}

async function textAt(client: HttpClient, url: string, signal: AbortSignal): Promise<string> {
  try {
    const { status, body, discard } = await client.get(url, {
      headers: { Accept: 'application/json' },
      signal,
      maxBytes: MAX_BYTES,
    })
    if (status !== 200) {
      discard()
      throw new Error(
        `it answers ${status}${status >= 300 && status < 400 ? ', and redirections are not followed' : ''}`,
      )
    }
    const chunks: Buffer[] = []
    for await (const chunk of body) chunks.push(chunk)
    return Buffer.concat(chunks).toString('utf8')
  } catch (thrown) {
    const error = coerceError(thrown)
    const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
    throw new Error(`${url}: ${certificateFault(code, CA_SETTING) ?? error.message}`, { cause: thrown })
  }
}
