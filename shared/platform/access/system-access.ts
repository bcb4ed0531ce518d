/**
 * Who a service is, whom it lets in, and whose records it believes: all of it follows from the system key.
 *
 *   private key          its own token and its signatures are made of it
 *   public key + token   of a machine that is not to have the private one: it signs with the secret of its token
 *   none                 on this machine alone: nobody is asked, nothing is signed
 */
import type { KeyObject } from 'node:crypto'
import { sign, verify } from 'node:crypto'
import type { KeyRecord } from '../../contracts/key.ts'
import type { Quotas } from '../../contracts/quota.ts'
import { coerceError, ScissionError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { openSeal, type Seal, sealText } from '../redis/seal.ts'
import type { State } from '../redis/state.ts'
import { type BindSettings, isExposed, refuseOpenBind } from './bind.ts'
import { type Credentials, NO_CREDENTIALS } from '../credentials.ts'
import { Guard } from './guard.ts'
import { KeyRing } from './key-ring.ts'
import { credentialsOfToken } from './pass.ts'
import { Oidc, type OidcSettings } from './oidc.ts'
import { RequestRates } from './request-rates.ts'
import type { Secret } from './secret.ts'
import { CONTROL_SERVICES, SystemKey } from './system-key.ts'
import { checkPeer, Tls, type TlsSettings } from './tls.ts'
import {
  exactBytes,
  hashOf,
  hasJwtForm,
  parseToken,
  publicBytesOf,
  publicKeyOf,
  signingKeyOf,
  type Token,
} from './token.ts'

export interface AccessSettings extends BindSettings, TlsSettings, OidcSettings {
  systemKey?: Secret | undefined
  token?: Secret | undefined
}

const INSECURE =
  'SCISSION_INSECURE=1: whoever reaches this service can do everything, because no token is asked for'

/** Whose work it is to sign anew what a key has signed that is being replaced. */
const PLANNER = 'planner'
const LOOK_MS = 2000

/** Who signs with the system key itself. */
const SYSTEM = 'system'
/** `by` of a seal → may it sign this document? */
const MAY_SIGN: Record<string, (name: string, id: string) => boolean> = {
  resources: (name, id) => name === id || isControl(name),
  deployments: (name) => name === 'planner',
}
const isControl = (name: string) => CONTROL_SERVICES.some((service) => service === name)

export class SystemAccess {
  readonly guard: Guard
  readonly credentials: Credentials
  readonly seal: Seal | undefined
  readonly tls: Tls | undefined
  /** Whose tokens hold too. */
  readonly oidc: Oidc | undefined
  readonly #key: (() => SystemKey) | undefined
  readonly #token: (() => Token) | undefined
  readonly #name: string
  readonly #log: Logger
  readonly #isExposed: boolean
  #state: State | undefined
  #looking: NodeJS.Timeout | undefined
  #ring: KeyRing | undefined
  #onKey: () => void = () => undefined

  /**
   * @param name of the service in the system: of a resource, the resource's.
   * @param defaults quotas of who has none.
   * @throws ScissionError badRequest if a key or the token cannot be used, or if the service may not listen where it is told to.
   */
  constructor(settings: AccessSettings, name: string, log: Logger, defaults: Quotas = {}) {
    refuseOpenBind(settings, settings.systemKey !== undefined)
    this.#name = name
    this.#log = log
    const isInsecure = settings.insecure && isExposed(settings)
    this.warning = isInsecure ? INSECURE : undefined
    if (isInsecure) log.warn(INSECURE)
    this.#isExposed = isExposed(settings) && !settings.insecure
    const { systemKey } = settings
    this.#key = systemKey && followed(systemKey, (text) => this.#read(text, systemKey), log)
    this.#token = this.#ownToken(settings)
    this.tls = Tls.from(settings, log)
    this.oidc = Oidc.from(settings, log)
    if (this.oidc && !this.#key)
      throw new ScissionError(
        'badRequest',
        'SCISSION_OIDC_ISSUER needs a system key too, by which the services know each other: make one with `scission keys init ' +
          'system.key` and set SCISSION_SYSTEM_KEY_FILE=system.key for every service of the system',
      )
    const rates = new RequestRates(() => this.#followed().redis, defaults)
    this.guard = this.#key
      ? new Guard({
          identify: (token) =>
            this.oidc && hasJwtForm(token) ? this.oidc.identify(token) : this.#keyRing().identify(token),
          count: (identity, res) => rates.count(identity, res),
          ...(this.tls?.isMutual && { checkConnection: checkPeer }),
        })
      : new Guard()
    this.credentials = credentialsOf(this.#token, this.tls)
    this.seal = this.#key ? { close: this.#close, fault: this.#fault, renew: this.#renew } : undefined
  }

  /** Why anybody on the network can do everything here, if so. */
  readonly warning: string | undefined

  /** The keys of the system; undefined without a system key. */
  get systemKey(): SystemKey | undefined {
    return this.#key?.()
  }

  #read(text: string, { where }: Secret): SystemKey {
    const key = SystemKey.read(text, where)
    // Once it is in use: the token that this service makes of it is another one.
    setImmediate(() => this.#onKey())
    return key
  }

  /** To be called before the first request: what is known of keys is read from there. */
  follow(state: State): void {
    this.#state = state
    this.oidc?.start()
    const key = this.#key?.()
    if (!key?.isPrivate || !this.#token) return
    const announce = () => {
      if (state.redis.status !== 'ready') return
      void this.#announce(state).catch((thrown: unknown) =>
        this.#log.debug({ err: coerceError(thrown) }, 'the key of this service is not on record yet'),
      )
      if (this.#name === PLANNER && this.systemKey?.isBeingReplaced) void this.#sealAnew(state)
    }
    this.#onKey = announce
    state.redis.on('ready', announce)
    announce()
    // A file that was replaced is noticed also where nobody asks for anything.
    this.#looking = setInterval(() => this.#key?.(), LOOK_MS).unref()
  }

  close(): void {
    clearInterval(this.#looking)
    this.tls?.close()
    this.oidc?.close()
  }

  #ownToken({ token, systemKey }: AccessSettings): (() => Token) | undefined {
    const key = this.#key
    if (!key || !systemKey) return undefined
    if (token) return followed(token, (text) => tokenIn(text, token.where), this.#log)
    if (!key().isPrivate)
      throw new ScissionError(
        'badRequest',
        `${systemKey.where} is a public system key: this service needs a token too. An operator makes it with ` +
          `scission keys add resource ${this.#name}; set SCISSION_TOKEN_FILE to the file with it`,
      )
    return () => key().tokenOf('resource', this.#name)
  }

  #followed(): State {
    if (this.#state) return this.#state
    throw new ScissionError('notReady', 'the service is starting')
  }

  #keyRing(): KeyRing {
    const state = this.#followed()
    const key = this.#key
    if (!key) throw new ScissionError('notReady', 'the service is starting')
    this.#ring ??= new KeyRing({
      name: this.#name,
      systemKey: key,
      read: (id) => state.keys.find(id),
      now: () => state.clock.now(),
    })
    return this.#ring
  }

  /** Services that have only the public key know the derived tokens of the others by their records. */
  async #announce(state: State): Promise<void> {
    if (!this.#token) return
    const { id, secret } = this.#token()
    const now = state.clock
    await now.read()
    const record: KeyRecord = {
      id,
      kind: 'resource',
      name: this.#name,
      hash: hashOf(secret),
      publicKey: publicBytesOf(signingKeyOf(secret)).toString('base64url'),
      createdAt: now.timestamp(),
      createdBy: 'system',
    }
    await state.keys.update(id, (current) => (current?.hash === record.hash ? current : record))
  }

  /** So that the line of the key that is being replaced can go out of the files. It is tried again when Redis is back. */
  async #sealAnew({ keys, resources, deployments }: State): Promise<void> {
    try {
      let count = 0
      for (const collection of [keys, resources, deployments]) count += await collection.sealAnew()
      if (count > 0)
        this.#log.info(
          `${count} records are signed anew, with the first of the system keys: the others can be removed`,
        )
    } catch (thrown) {
      this.#log.warn(
        { err: coerceError(thrown) },
        'records that an older system key has signed are not signed anew yet',
      )
    }
  }

  readonly #renew: Seal['renew'] = (kind, id, text) => {
    const key = this.#key?.()
    const seal = openSeal(kind, id, text)
    if (!key?.isPrivate || seal?.by !== SYSTEM) return undefined
    const isOld =
      key.isSigned(seal.message, seal.signature) && !key.isSignedAnew(seal.message, seal.signature)
    return isOld ? this.#close(kind, id, seal.text) : undefined
  }

  readonly #close: Seal['close'] = (kind, id, text) => {
    const key = this.#key?.()
    if (key?.isPrivate) return sealText(kind, id, text, { by: SYSTEM, sign: (message) => key.sign(message) })
    if (!this.#token) return text
    const { id: by, secret } = this.#token()
    const privateKey = signingKeyOf(secret)
    return sealText(kind, id, text, { by, sign: (message) => signed(message, privateKey) })
  }

  readonly #fault: Seal['fault'] = async (kind, id, text) => {
    const seal = openSeal(kind, id, text)
    // A system on this machine alone may have written it before there were seals.
    if (!seal) return this.#isExposed || kind === 'keys' ? 'it is not signed' : undefined
    const key = this.#key?.()
    if (seal.by === SYSTEM)
      return key?.isSigned(seal.message, seal.signature) ? undefined : 'its signature is not the system key’s'
    const writer = await this.#keyRing().record(seal.by)
    if (!writer || writer.revokedAt !== undefined || writer.kind !== 'resource')
      return `it is signed by ${seal.by}, which is no key of a resource`
    if (!MAY_SIGN[kind]?.(writer.name, id)) return `${writer.name} may not write it`
    const signature = exactBytes(seal.signature)
    const publicKey = publicKeyOf(Buffer.from(writer.publicKey, 'base64url'))
    const isRight = signature && verify(null, Buffer.from(seal.message), publicKey, signature)
    return isRight ? undefined : `its signature is not that of ${writer.name}`
  }
}

const signed = (message: string, key: KeyObject): string =>
  sign(null, Buffer.from(message), key).toString('base64url')

const credentialsOf = (token: (() => Token) | undefined, tls: Tls | undefined): Credentials => ({
  ...(token ? credentialsOfToken(token) : NO_CREDENTIALS),
  tls,
})

function tokenIn(text: string, where: string): Token {
  const token = parseToken(text)
  if (token) return token
  throw new ScissionError('badRequest', `${where}: not a token, which looks like scn_ID_SECRET`)
}

/** Follows the file of a secret; a file that is no longer usable is reported, and what it held before stays. */
function followed<T>(secret: Secret, make: (text: string) => T, log: Logger): () => T {
  return secret.following(make, (error) =>
    log.warn({ err: error }, `${error.message}: what it held before stays in use`),
  )
}
