/**
 * Encryption between clients, services and machines: one certificate for what a service answers and what it asks, and the
 * authority whose certificates it believes. The files may be replaced while the service runs.
 *
 * With an authority, a resource shows a certificate with its name as well as its token: the common name, or a DNS name of
 * its subject alternative names. Clients need none.
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { createSecureContext, type SecureContextOptions, TLSSocket, type TlsOptions } from 'node:tls'
import { coerceError, ScissionError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Identity } from './identity.ts'
import { fileStamp } from './file-stamp.ts'
import { readSecretFile } from './secret-file.ts'

export interface TlsSettings {
  tlsCert: string
  tlsKey: string
  tlsCa: string
}

/** The files are looked at for changes this often. */
const LOOK_MS = 10_000

export class Tls {
  readonly #settings: TlsSettings
  readonly #log: Logger
  #context: SecureContextOptions
  #stamp: string
  readonly #followers = new Set<(context: SecureContextOptions) => void>()
  readonly #timer: NodeJS.Timeout

  private constructor(settings: TlsSettings, log: Logger) {
    this.#settings = settings
    this.#log = log
    this.#stamp = stampOf(settings)
    this.#context = readContext(settings)
    // Also of one that only asks: the authority may be replaced.
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  /**
   * @returns undefined if no certificate and no authority are given.
   * @throws ScissionError badRequest if one of certificate and key is missing, or a file cannot be used.
   */
  static from(settings: TlsSettings, log: Logger): Tls | undefined {
    const { tlsCert, tlsKey, tlsCa } = settings
    if ((tlsCert === '') !== (tlsKey === ''))
      throw new ScissionError(
        'badRequest',
        `${tlsCert === '' ? 'SCISSION_TLS_CERT' : 'SCISSION_TLS_KEY'} is missing: a certificate and its key belong together`,
      )
    return tlsCert === '' && tlsCa === '' ? undefined : new Tls(settings, log)
  }

  /** Whether it can answer by TLS, and not only ask. */
  get serves(): boolean {
    return this.#settings.tlsCert !== ''
  }

  /** Whether resources have to show certificates. */
  get isMutual(): boolean {
    return this.serves && this.#settings.tlsCa !== ''
  }

  /** For `tls.connect` and clients made of it. */
  get context(): SecureContextOptions {
    return this.#context
  }

  /** For a listening socket. Who shows a certificate that does not hold is refused by `checkPeer`, with a message. */
  get serverOptions(): TlsOptions {
    return { ...this.#context, ...OLDEST, requestCert: this.isMutual, rejectUnauthorized: false }
  }

  /** Calls `take` whenever the files have changed and can be used. */
  follow(take: (context: SecureContextOptions) => void): void {
    this.#followers.add(take)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const stamp = stampOf(this.#settings)
    if (stamp === this.#stamp) return
    this.#stamp = stamp
    try {
      this.#context = readContext(this.#settings)
      for (const take of this.#followers) take(this.#context)
      this.#log.info('the certificate was replaced')
    } catch (thrown) {
      const { message } = coerceError(thrown)
      this.#log.warn(`the certificate was not replaced: ${message}; the one before stays in use`)
    }
  }
}

const OLDEST = { minVersion: 'TLSv1.2' } as const

/** @throws ScissionError forbidden if a resource shows no certificate of its name that the authority has signed. */
export function checkPeer({ socket }: IncomingMessage, identity: Identity): void {
  if (identity.kind !== 'resource') return
  const certificate = socket instanceof TLSSocket ? socket.getPeerCertificate() : undefined
  const isShown = certificate !== undefined && Object.keys(certificate).length > 0
  if (!(socket instanceof TLSSocket) || !isShown || !socket.authorized) {
    const why =
      isShown && socket instanceof TLSSocket
        ? `it does not hold: ${String(socket.authorizationError)}`
        : 'it shows none'
    throw new ScissionError(
      'forbidden',
      `resource ${identity.name} needs a certificate of the authority in SCISSION_TLS_CA: ${why}`,
    )
  }
  const shown = socket.getPeerX509Certificate()
  if (shown?.checkHost(identity.name, { subject: 'always', wildcards: false })) return
  throw new ScissionError(
    'forbidden',
    `resource ${identity.name} shows a certificate of another name: ${shown?.subject ?? ''}`,
  )
}

/** @throws ScissionError badRequest, which names the file. */
function readContext({ tlsCert, tlsKey, tlsCa }: TlsSettings): SecureContextOptions {
  const context = {
    ...(tlsCert !== '' && { cert: readPublic(tlsCert, 'SCISSION_TLS_CERT') }),
    ...(tlsKey !== '' && { key: readSecretFile(tlsKey, 'SCISSION_TLS_KEY') }),
    ...(tlsCa !== '' && { ca: readAuthority(tlsCa, 'SCISSION_TLS_CA') }),
  }
  try {
    createSecureContext(context)
  } catch (thrown) {
    throw new ScissionError(
      'badRequest',
      `SCISSION_TLS_CERT, SCISSION_TLS_KEY or SCISSION_TLS_CA cannot be used: ${coerceError(thrown).message}`,
      undefined,
      thrown,
    )
  }
  return context
}

/**
 * @returns the certificates of authorities in a file (PEM).
 * @throws ScissionError badRequest, which names the file, if it holds none: Node would take it, and believe nobody.
 */
export function readAuthority(file: string, setting: string): string {
  const text = readPublic(file, setting)
  const certificates =
    text.match(/-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]*-----END [^-]*-----/g) ?? []
  if (certificates.length === 0 || !certificates.every(isCertificate))
    throw new ScissionError('badRequest', `${setting}: ${file} is no certificate of an authority (PEM)`)
  return text
}

function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).raw.length > 0
  } catch {
    return false
  }
}

function readPublic(file: string, setting: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (thrown) {
    throw new ScissionError(
      'badRequest',
      `${setting}: ${file} cannot be read: ${coerceError(thrown).message}`,
    )
  }
}

const stampOf = ({ tlsCert, tlsKey, tlsCa }: TlsSettings): string =>
  [tlsCert, tlsKey, tlsCa].map((file) => (file === '' ? '' : fileStamp(file))).join()

/**
 * What is wrong with the certificate of a peer, in words for an operator; undefined for other errors.
 * @param setting that names the file of its authority.
 */
export function certificateFault(code: string | undefined, setting = 'SCISSION_TLS_CA'): string | undefined {
  const fault = code === undefined ? undefined : FAULTS[code]
  return fault === UNKNOWN_AUTHORITY ? `${fault}: ${setting} names the file with it` : fault
}

const UNKNOWN_AUTHORITY = 'its certificate is of an authority that is not known here'
const FAULTS: Record<string, string> = {
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet: a clock is wrong',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is of another name or address',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_AUTHORITY,
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_AUTHORITY,
  DEPTH_ZERO_SELF_SIGNED_CERT: UNKNOWN_AUTHORITY,
  CERT_SIGNATURE_FAILURE: UNKNOWN_AUTHORITY,
  EPROTO: 'one of the two speaks TLS and the other does not: compare http and https in its address',
}
