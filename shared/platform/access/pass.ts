/**
 * What the owner of a token shows to one service: `scn_<id>_<signature>~<to>`, signed with the secret of the token. It holds at the
 * service of that name alone, so that a machine that somebody has taken over learns nothing from its callers by which to
 * pass for them elsewhere, or to sign in their names. It lasts as long as the token.
 */
import { sign, verify } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { bearer, type Credentials } from '../credentials.ts'
import { exactBytes, publicKeyOf, signingKeyOf, type Token } from './token.ts'

export interface Pass {
  id: string
  /** Name of the service that it is for. */
  to: string
  signature: Buffer
}

const FORM = /^scn_([a-z0-9][a-z0-9-]{0,79})_([A-Za-z0-9_-]{86})~([a-z0-9][a-z0-9-]{0,62})$/
/** Services that one calls. */
const MAX_KEPT = 1000

/** No document is signed in this form: that begins with the kind of its collection. */
const messageOf = ({ id, to }: Pick<Pass, 'id' | 'to'>): Buffer => Buffer.from(`pass\n${id}\n${to}`)

/** @returns undefined if the text is no pass. */
export function parsePass(text: string): Pass | undefined {
  const [, id, written = '', to] = FORM.exec(text) ?? []
  const signature = exactBytes(written)
  return id === undefined || to === undefined || !signature ? undefined : { id, to, signature }
}

/** @param publicKey 32 bytes: of the token that the pass names. */
export const isSignedBy = (publicKey: Buffer, pass: Pass): boolean =>
  verify(null, messageOf(pass), publicKeyOf(publicKey), pass.signature)

/** Shows each service a pass. @param token as it is now. */
export function credentialsOfToken(token: () => Token): Credentials {
  const passOf = passesOf(token)
  return { authorization: (to) => bearer(passOf(to)) }
}

/** Each pass is signed once. @returns the text for a service. */
function passesOf(token: () => Token): (to: string) => string {
  const kept = new LRUCache<string, { secret: Buffer; text: string }>({ max: MAX_KEPT })
  return (to) => {
    const { id, secret } = token()
    const known = kept.get(to)
    if (known?.secret.equals(secret)) return known.text
    const signature = sign(null, messageOf({ id, to }), signingKeyOf(secret)).toString('base64url')
    const text = `scn_${id}_${signature}~${to}`
    kept.set(to, { secret, text })
    return text
  }
}
