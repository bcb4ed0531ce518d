/**
 * Who the owner of a verified token of an identity provider is, and what that one may do. Pure.
 *
 *   scission:operator          everything
 *   scission:read              a client that may read
 *   scission:infer             a client that may infer on all names
 *   scission:infer:mobile*     … on those that the pattern names
 *
 * Roles without `scission:` are those of other applications. No role makes a resource: what services ask of each other, and
 * sign, follows from the system key alone.
 */
import { createHash } from 'node:crypto'
import { NamePattern } from '../../contracts/key.ts'
import { type Identity, patternOf } from './identity.ts'

const OPERATOR = 'scission:operator'
const READ = 'scission:read'
const INFER = 'scission:infer'
const INFER_ON = `${INFER}:`

/** A token holds thousands of characters: so many patterns a request may be compared with. */
const MAX_PATTERNS = 100
const ID_CHARACTERS = 16
const MAX_NAME_CHARACTERS = 64

export interface OwnerClaims extends Readonly<Record<string, unknown>> {
  iss: string
  sub: string
}

/** @param roleClaims paths of the claims with roles, as in SCISSION_OIDC_ROLES_CLAIM. */
export function identityIn(claims: OwnerClaims, roleClaims: readonly string[]): Identity {
  const roles = new Set(roleClaims.flatMap((path) => rolesOf(claimAt(claims, path))))
  const who = { id: idOf(claims), name: nameOf(claims) }
  if (roles.has(OPERATOR)) return { kind: 'operator', ...who }
  const patterns = [...roles]
    .filter((role) => role.startsWith(INFER_ON))
    .map((role) => role.slice(INFER_ON.length))
    .filter((pattern) => NamePattern.safeParse(pattern).success)
    .slice(0, MAX_PATTERNS)
  const infer = roles.has(INFER) ? 'all' : patterns.map(patternOf)
  return { kind: 'client', ...who, infer, read: roles.has(READ) }
}

/** The same for one owner with every token, and not told by what the provider may change: the name. */
const idOf = ({ iss, sub }: OwnerClaims): string =>
  `oidc:${createHash('sha256')
    .update(JSON.stringify([iss, sub]))
    .digest('hex')
    .slice(0, ID_CHARACTERS)}`

/** For logs and messages: short, and of characters that end no line and hide nothing. */
function nameOf(claims: OwnerClaims): string {
  const preferred = claims['preferred_username']
  const name = typeof preferred === 'string' && preferred !== '' ? preferred : claims.sub
  return name.slice(0, MAX_NAME_CHARACTERS).replaceAll(/[^\p{L}\p{N}._@+:|/-]/gu, '?')
}

/**
 * A claim by its path: `realm_access.roles`. Names of claims may hold dots themselves (`https://example.com/roles`), so that the
 * longest name that is there counts.
 */
function claimAt(within: unknown, path: string): unknown {
  if (typeof within !== 'object' || within === null) return undefined
  if (Object.hasOwn(within, path)) return Reflect.get(within, path)
  for (let dot = path.lastIndexOf('.'); dot > 0; dot = path.lastIndexOf('.', dot - 1)) {
    const name = path.slice(0, dot)
    const found = Object.hasOwn(within, name)
      ? claimAt(Reflect.get(within, name), path.slice(dot + 1))
      : undefined
    if (found !== undefined) return found
  }
  return undefined
}

/** A list of texts, or one text with blanks between them, as OAuth's `scope` (RFC 6749, 3.3). */
function rolesOf(claim: unknown): string[] {
  if (typeof claim === 'string') return claim.split(' ')
  return Array.isArray(claim) ? claim.filter((one) => typeof one === 'string') : []
}
