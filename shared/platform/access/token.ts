/**
 * Tokens, `scn_<id>_<secret>`: whoever has one is who its key says. Only a hash of the secret is stored. The secret has 256
 * random bits, so that a plain SHA-256 cannot be searched, and is made again with each use in microseconds.
 *
 * The secret of a service is the seed of a signing key too (Ed25519, RFC 8032): what the service writes into Redis can be
 * checked with the public half, which its key record holds.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'

export interface Token {
  id: string
  /** 32 bytes. */
  secret: Buffer
}

export const SECRET_BYTES = 32
/** An id may name what it stands for, `resource-edge`; the ids of keys made at random have no hyphen. */
const FORM = /^scn_([a-z0-9][a-z0-9-]{0,79})_([A-Za-z0-9_-]{43})$/

export const formatToken = ({ id, secret }: Token): string => `scn_${id}_${secret.toString('base64url')}`

/** @returns undefined if the text is no token. */
export function parseToken(text: string): Token | undefined {
  const [, id, secret] = FORM.exec(text) ?? []
  const bytes = secret === undefined ? undefined : exactBytes(secret)
  return id === undefined || !bytes ? undefined : { id, secret: bytes }
}

/** Whether a text has the form of a JSON Web Token, which an identity provider makes; none of our tokens has. */
export const hasJwtForm = (text: string): boolean => /^[\w-]+\.[\w-]*\.[\w-]*$/.test(text)

/** The bytes of base64url; undefined if another text has them too: the last character holds bits that nothing reads. */
export function exactBytes(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

const ID_BYTES = 6

/** A token of a key that is about to be made. */
export const newToken = (): Token => ({
  id: randomBytes(ID_BYTES).toString('hex'),
  secret: randomBytes(SECRET_BYTES),
})

/** What is stored of a secret: the hexadecimal digits of its SHA-256. */
export const hashOf = (secret: Buffer): string => createHash('sha256').update(secret).digest('hex')

/** Whether a hash is this secret's; it takes as long whether or not it is. */
export const isHashOf = (hash: string, secret: Buffer): boolean =>
  timingSafeEqual(Buffer.from(hash, 'hex'), Buffer.from(hashOf(secret), 'hex'))

/** The heads of an Ed25519 key in PKCS #8 and in SubjectPublicKeyInfo (RFC 8410): 32 bytes of the key follow. */
const PRIVATE_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')
const PUBLIC_HEAD = Buffer.from('302a300506032b6570032100', 'hex')

/** @param seed 32 bytes. */
export const signingKeyOf = (seed: Buffer): KeyObject =>
  createPrivateKey({ key: Buffer.concat([PRIVATE_HEAD, seed]), format: 'der', type: 'pkcs8' })

/** @param bytes 32 bytes, as `publicBytesOf` gives them. */
export const publicKeyOf = (bytes: Buffer): KeyObject =>
  createPublicKey({ key: Buffer.concat([PUBLIC_HEAD, bytes]), format: 'der', type: 'spki' })

/** The 32 bytes of the public half. */
export const publicBytesOf = (privateKey: KeyObject): Buffer =>
  createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(PUBLIC_HEAD.length)
