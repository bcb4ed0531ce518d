/**
 * The keys of the system as a service knows them: from Redis, so that a key works right after it was made and no more two seconds
 * after it was revoked. While Redis is away, what was known last holds: models that are loaded are served without Redis.
 *
 *   token ──▶ made of a system key that is here? ──▶ who that names
 *         └──▶ its key record ──▶ the hash is right, it is not revoked, it has not expired (by the clock of Redis) ──▶ its owner
 */
import { LRUCache } from 'lru-cache'
import type { KeyRecord } from '../../contracts/key.ts'
import { waitAtMost } from '../deadline.ts'
import { ScissionError } from '../errors.ts'
import { type Identity, patternOf } from './identity.ts'
import { UNLIMITED } from './quotas.ts'
import type { DerivedOwner, SystemKey } from './system-key.ts'
import { isSignedBy, parsePass, type Pass } from './pass.ts'
import { isHashOf, parseToken, publicBytesOf, SECRET_BYTES, signingKeyOf } from './token.ts'

/** A record is read again in the background after so long … */
const FRESH_MS = 1000
/** … and awaited after so long. */
const STALE_MS = 2000
/** Longest wait for Redis, which answers in milliseconds or not at all. */
const PATIENCE_MS = 1000
/** For so long after Redis did not answer nobody waits for it whose key is known. */
const SPARED_MS = 5000
/** Ids come from clients: a flood of invented ones must not grow memory. */
const MAX_RECORDS = 10_000

interface Known {
  record: KeyRecord | undefined
  readAtMs: number
  reading?: Promise<KeyRecord | undefined> | undefined
}

/** By what a pass was found to be right: a token made of the system key, or the public key of its record. */
interface Verified {
  /** The system key of that time: another file of keys is another object. */
  under: SystemKey
  derived?: DerivedOwner
  publicKey?: string
}

export interface KeyRingDeps {
  /** Of this service: passes are made for one. */
  name: string
  systemKey: () => SystemKey
  /** @throws the connection's error. */
  read: (id: string) => Promise<KeyRecord | undefined>
  /** Epoch ms of Redis. @throws ScissionError queueUnavailable if it was never asked. */
  now: () => number
}

/** Says nothing of what is wrong with a token: that would help to guess one. */
export const notValid = (): ScissionError =>
  new ScissionError(
    'unauthenticated',
    'the credentials are not valid here: unknown, revoked or expired. scission keys list shows the keys of the system',
  )

export class KeyRing {
  readonly #deps: KeyRingDeps
  readonly #known = new LRUCache<string, Known>({ max: MAX_RECORDS })
  /** Ids that no record was found of yet: apart, so that a flood of invented ones makes nobody forgotten. */
  readonly #asked = new LRUCache<string, Known>({ max: MAX_RECORDS })
  /** Passes to this service that were found to be right, and no others: a flood of invented ones makes none forgotten. */
  readonly #verified = new LRUCache<string, Verified>({ max: MAX_RECORDS })
  #spareUntilMs = -Infinity

  constructor(deps: KeyRingDeps) {
    this.#deps = deps
  }

  /**
   * @param text a token, or a pass.
   * @throws ScissionError unauthenticated; misdirected for a pass to another service; queueUnavailable if its key cannot be looked up
   * now.
   */
  async identify(text: string): Promise<Identity> {
    const pass = parsePass(text)
    if (pass) return this.#ofPass(text, pass)
    const token = parseToken(text)
    if (!token) throw notValid()
    const derived = this.#deps.systemKey().derived(token)
    if (derived) return derivedIdentity(token.id, derived)
    const record = await this.record(token.id)
    // The same work for an unknown id as for a wrong secret.
    return this.#ownerOf(record, isHashOf(record?.hash ?? NO_HASH, token.secret))
  }

  async #ofPass(text: string, pass: Pass): Promise<Identity> {
    const identity = await this.#signerOf(text, pass)
    const { name } = this.#deps
    if (pass.to === name) return identity
    throw new ScissionError('misdirected', `this is ${name}; the request is for ${pass.to}`)
  }

  /** A pass that was seen before costs a look at its record, if it has one, and no signature. */
  async #signerOf(text: string, pass: Pass): Promise<Identity> {
    const under = this.#deps.systemKey()
    const seen = this.#verified.get(text)
    const known = seen?.under === under ? seen : undefined
    const derived = known ? known.derived : under.signerOf(pass)
    if (derived) {
      if (!known) this.#remember(text, pass, { under, derived })
      return derivedIdentity(pass.id, derived)
    }
    const record = await this.record(pass.id)
    const publicKey = record?.publicKey ?? NO_KEY
    const isKnown = known?.publicKey === publicKey
    const isRight = isKnown || isSignedBy(Buffer.from(publicKey, 'base64url'), pass)
    const identity = this.#ownerOf(record, isRight)
    if (!isKnown) this.#remember(text, pass, { under, publicKey })
    return identity
  }

  /** Who has a token can sign passes to any number of names. */
  #remember(text: string, { to }: Pass, found: Verified): void {
    if (to === this.#deps.name) this.#verified.set(text, found)
  }

  /** The record of a key, revoked or not; undefined if there is none. @throws as identify. */
  async record(id: string): Promise<KeyRecord | undefined> {
    const known = this.#known.get(id) ?? this.#asked.get(id)
    const ageMs = known ? performance.now() - known.readAtMs : Infinity
    if (known && ageMs < FRESH_MS) return known.record
    const reading = this.#read(id, known)
    const isSpared = ageMs < STALE_MS || performance.now() < this.#spareUntilMs
    if (known?.record && isSpared) return known.record
    const answer = await waitAtMost(
      reading.then(
        (record) => ({ record }),
        () => undefined,
      ),
      PATIENCE_MS,
      undefined,
    )
    if (answer) return answer.record
    this.#spareUntilMs = performance.now() + SPARED_MS
    if (known?.record) return known.record
    throw new ScissionError(
      'queueUnavailable',
      'Redis cannot be asked who this is, and the token was not seen before; retry in a moment',
    )
  }

  #read(id: string, known: Known | undefined): Promise<KeyRecord | undefined> {
    if (known?.reading) return known.reading
    const entry: Known = known ?? { record: undefined, readAtMs: -Infinity }
    if (known === undefined) this.#asked.set(id, entry)
    const reading = this.#deps
      .read(id)
      .then((record) => {
        // A revoked key stays revoked, whoever writes an older record of it back into Redis.
        if (!entry.record?.revokedAt) entry.record = record
        entry.readAtMs = performance.now()
        if (entry.record) {
          this.#known.set(id, entry)
          this.#asked.delete(id)
        }
        return entry.record
      })
      .finally(() => {
        entry.reading = undefined
      })
    // Not every use waits for it. The connection reports that it is lost; the next use tries again.
    reading.catch(() => undefined)
    entry.reading = reading
    return reading
  }

  #ownerOf(record: KeyRecord | undefined, isRight: boolean): Identity {
    if (!record || !isRight || record.revokedAt !== undefined || this.#hasExpired(record)) throw notValid()
    const { id, kind, name, quotas, account } = record
    if (kind === 'resource') return { kind, id, name }
    if (kind === 'operator') return { kind, id, name, quotas, account }
    const infer = record.infer?.map(patternOf) ?? 'all'
    return { kind, id, name, infer, read: record.read ?? true, quotas, account }
  }

  #hasExpired({ expiresAt }: KeyRecord): boolean {
    return expiresAt !== undefined && Date.parse(expiresAt) <= this.#deps.now()
  }
}

/** Whoever has the system key sets the quotas of the others. */
const derivedIdentity = (id: string, { kind, name }: DerivedOwner): Identity => ({
  kind,
  name,
  id,
  ...(kind === 'operator' && { quotas: UNLIMITED }),
})

const NO_HASH = '0'.repeat(64)
const NO_KEY = publicBytesOf(signingKeyOf(Buffer.alloc(SECRET_BYTES))).toString('base64url')
