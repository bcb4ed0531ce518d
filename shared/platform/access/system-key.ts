/**
 * The key of a system: the root of everything that its services believe about each other.
 *
 *   scs_<seed>   the private half: signs keys and records, and every service that has it makes its own token of it
 *   scp_<key>    the public half: checks what was signed with the private one
 *
 * A file holds one of them on a line; several lines are several keys: the first private one signs, all of them verify, so
 * that a key can be replaced while services with the old one still run. A machine that is not trusted with the private half
 * gets the public one and a token of its own.
 */
import { hkdfSync, type KeyObject, randomBytes, sign, timingSafeEqual, verify } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { ScissionError } from '../errors.ts'
import { isSignedBy, type Pass } from './pass.ts'
import { exactBytes, publicBytesOf, publicKeyOf, SECRET_BYTES, signingKeyOf, type Token } from './token.ts'

interface Half {
  /** Absent in a public half. */
  own?: PrivateHalf
  publicKey: KeyObject
  publicBytes: Buffer
}

interface PrivateHalf {
  seed: Buffer
  privateKey: KeyObject
  /**
   * Id → secret that is derived of the seed, which takes longer than all else that is done to let a request in. Only of tokens that were
   * made or shown here, so that no flood of invented ones pushes them out. Another file of keys is another object.
   */
  secrets: LRUCache<string, Buffer>
}

/** Whose a token is that is made of a system key: its id says it. */
export interface DerivedOwner {
  kind: DerivedKind
  name: string
}

const LINE = /^(scs|scp)_([A-Za-z0-9_-]{43})$/

/** What a service is called in the system. A resource has its own name, which is none of these. */
export const CONTROL_SERVICES = ['planner', 'benchmark'] as const
export type DerivedKind = 'operator' | 'resource'

/** Services of a system, and operators: far fewer than this. */
const MAX_KNOWN = 1000

/** The text of a new private key. */
export const newSystemKey = (): string => `scs_${randomBytes(SECRET_BYTES).toString('base64url')}`

export class SystemKey {
  readonly #halves: Half[]

  private constructor(halves: Half[]) {
    this.#halves = halves
  }

  /**
   * @param text one key on a line; blank lines and lines that begin with # count for nothing.
   * @param where names its place in errors, which never show the text.
   * @throws ScissionError badRequest
   */
  static read(text: string, where: string): SystemKey {
    const lines = text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'))
    const halves = lines.map((line, index) => halfOf(line, `${where}, line ${index + 1}`))
    if (halves.length === 0)
      throw new ScissionError('badRequest', `${where}: there is no key; scission keys init makes one`)
    return new SystemKey(halves)
  }

  /** Whether it can make tokens and signatures. */
  get isPrivate(): boolean {
    return this.#own !== undefined
  }

  /** Whether one of them is being replaced by another. */
  get isBeingReplaced(): boolean {
    return this.#halves.length > 1
  }

  /** The public halves, as a file for machines that are not to have the private ones. */
  get publicText(): string {
    return this.#halves.map(({ publicBytes }) => `scp_${publicBytes.toString('base64url')}\n`).join('')
  }

  /** @returns the signature, base64url. @throws ScissionError internal without a private half. */
  sign(message: string): string {
    if (!this.#own) throw new ScissionError('internal', 'a public system key signs nothing')
    return sign(null, Buffer.from(message), this.#own.privateKey).toString('base64url')
  }

  isSigned(message: string, signature: string): boolean {
    const bytes = exactBytes(signature)
    if (!bytes) return false
    return this.#halves.some(({ publicKey }) => verify(null, Buffer.from(message), publicKey, bytes))
  }

  /** Whether the key that signs now has signed it, and not one that it replaces. */
  isSignedAnew(message: string, signature: string): boolean {
    const bytes = exactBytes(signature)
    const signer = this.#halves.find(({ own }) => own)
    return (
      bytes !== undefined &&
      signer !== undefined &&
      verify(null, Buffer.from(message), signer.publicKey, bytes)
    )
  }

  /** The token of a service, or of the operator who has this key. @throws ScissionError internal without a private half. */
  tokenOf(kind: DerivedKind, name: string): Token {
    if (!this.#own) throw new ScissionError('internal', 'a public system key makes no tokens')
    const { seed, secrets } = this.#own
    const id = idOf(kind, name)
    const secret = secrets.get(id) ?? derive(seed, { kind, name })
    secrets.set(id, secret)
    return { id, secret }
  }

  /** Whether a token was made of one of these keys; then whose it is. */
  derived({ id, secret }: Token): DerivedOwner | undefined {
    return this.#derivedAs(id, (one) => timingSafeEqual(one, secret))
  }

  /** Whether a pass was signed with a token that was made of one of these keys; then whose it is. */
  signerOf(pass: Pass): DerivedOwner | undefined {
    return this.#derivedAs(pass.id, (secret) => isSignedBy(publicBytesOf(signingKeyOf(secret)), pass))
  }

  /** Tries those secrets first that are known: who shows a token of the older key has none derived of the newer one. */
  #derivedAs(id: string, isIt: (secret: Buffer) => boolean): DerivedOwner | undefined {
    const owner = derivedOwnerIn(id)
    if (!owner) return undefined
    const unknown: PrivateHalf[] = []
    for (const { own } of this.#halves) {
      const secret = own?.secrets.get(id)
      if (secret && isIt(secret)) return owner
      if (own && !secret) unknown.push(own)
    }
    for (const { seed, secrets } of unknown) {
      const secret = derive(seed, owner)
      if (!isIt(secret)) continue
      secrets.set(id, secret)
      return owner
    }
    return undefined
  }

  /** That which signs. */
  get #own(): PrivateHalf | undefined {
    return this.#halves.find(({ own }) => own)?.own
  }
}

const idOf = (kind: DerivedKind, name: string): string => `${kind}-${name}`

/** @returns undefined if a token of this id is made of no system key. */
function derivedOwnerIn(id: string): DerivedOwner | undefined {
  const [, kind, name] = /^(operator|resource)-(.+)$/.exec(id) ?? []
  return (kind === 'operator' || kind === 'resource') && name !== undefined ? { kind, name } : undefined
}

const derive = (seed: Buffer, { kind, name }: DerivedOwner): Buffer =>
  Buffer.from(hkdfSync('sha256', seed, '', `scission token ${kind} ${name}`, SECRET_BYTES))

function halfOf(line: string, where: string): Half {
  const [, kind, text] = LINE.exec(line) ?? []
  if (kind === undefined || text === undefined)
    throw new ScissionError(
      'badRequest',
      `${where}: not a system key, which is scs_ or scp_ and 43 characters, as scission keys init writes it`,
    )
  const bytes = Buffer.from(text, 'base64url')
  if (kind === 'scp') return { publicKey: publicKeyOf(bytes), publicBytes: bytes }
  const privateKey = signingKeyOf(bytes)
  const publicBytes = publicBytesOf(privateKey)
  const own = { seed: bytes, privateKey, secrets: new LRUCache<string, Buffer>({ max: MAX_KNOWN }) }
  return { own, publicKey: publicKeyOf(publicBytes), publicBytes }
}
