/**
 * Who sends a request, and what that one may do. A route declares what it takes (`access`); docs/reference/access.md lists
 * all routes with it.
 */
import type { Quotas } from '../../contracts/quota.ts'

/**
 * What a route takes of its caller:
 *
 *   anyone       nothing: probes of orchestrators, the description
 *   identified   any identity
 *   about        metadata of a model or deployment: to read, or to infer on that name
 *   infer        to infer on the name in the path
 *   read         to read what the system knows
 *   operate      to change it: operators only
 *   manage       what operators do and services ask of each other: load a model, measure a link
 *   machine      what services ask of each other: resources and operators
 *   planner      what the planner alone asks: it, and operators
 */
export const ACCESS = [
  'anyone',
  'identified',
  'about',
  'infer',
  'read',
  'operate',
  'manage',
  'machine',
  'planner',
] as const
export type Access = (typeof ACCESS)[number]

interface Limited {
  id: string
  name: string
  /** Of its key; absent = those of the settings. */
  quotas?: Quotas | undefined
  /** Under which its requests and what it makes are counted, if not under its id. */
  account?: string | undefined
}

export type Identity =
  /** Who reached a service that listens on this machine alone: nothing is asked, everything is allowed. */
  | { kind: 'local' }
  | { kind: 'nobody' }
  | ({ kind: 'operator' } & Limited)
  | { kind: 'resource'; id: string; name: string }
  | ({ kind: 'client'; infer: readonly NamePattern[] | 'all'; read: boolean } & Limited)

/** @param name the model or deployment in the path, for `about` and `infer`. */
export function mayDo(identity: Identity, access: Access, name: string | undefined): boolean {
  if (access === 'anyone' || identity.kind === 'local' || identity.kind === 'operator') return true
  if (identity.kind === 'nobody') return false
  if (access === 'identified') return true
  if (identity.kind === 'resource') {
    if (access === 'operate') return false
    return access === 'planner' ? identity.name === 'planner' : true
  }
  if (access === 'read') return identity.read
  if (access === 'about') return identity.read || mayInfer(identity.infer, name)
  return access === 'infer' && mayInfer(identity.infer, name)
}

const mayInfer = (allowed: readonly NamePattern[] | 'all', name: string | undefined): boolean =>
  allowed === 'all' || (name !== undefined && allowed.some((pattern) => pattern.test(name)))

/** Which names are meant. */
export interface NamePattern {
  test: (name: string) => boolean
}

/**
 * `mobilenet*` for whole names. Each piece between two stars is looked for once, behind the one before it: a regular expression
 * would try all places of all pieces, and a client, which chooses the name, could keep the service busy for ever.
 */
export function patternOf(text: string): NamePattern {
  const [first = '', ...others] = text.split('*')
  const last = others.pop()
  if (last === undefined) return { test: (name) => name === text }
  const test = (name: string): boolean => {
    const end = name.length - last.length
    if (!name.startsWith(first) || !name.endsWith(last)) return false
    let at = first.length
    for (const piece of others) {
      const found = name.indexOf(piece, at)
      if (found < 0) return false
      at = found + piece.length
    }
    return at <= end
  }
  return { test }
}

/** For a log: `client camera (3f2a…)`. */
export function describeIdentity(identity: Identity): string {
  if (identity.kind === 'local') return 'this machine'
  return identity.kind === 'nobody' ? 'nobody' : `${identity.kind} ${identity.name} (${identity.id})`
}
