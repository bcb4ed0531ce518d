/**
 * Lets a request in or not. What it stands behind is a door: a listening socket with the routes that it shows.
 *
 *   everything   the only door of a service
 *   public       of a service that has an internal door too: what machines say to each other is not there
 *   internal     for resources and operators
 *
 * A door that listens on this machine alone asks nothing: whoever is there is `local`, unless it shows a token that holds.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { ScissionError } from '../errors.ts'
import { type Access, describeIdentity, type Identity, mayDo } from './identity.ts'
import { notValid } from './key-ring.ts'

export interface Door {
  shows: 'everything' | 'public' | 'internal'
  asks: boolean
}

/** Of tests, and of a service on this machine alone. */
export const OPEN_DOOR: Door = { shows: 'everything', asks: false }

const doors = new WeakMap<IncomingMessage, Door>()
export const noteDoor = (req: IncomingMessage, door: Door): void => {
  doors.set(req, door)
}
export const doorOf = (req: IncomingMessage): Door => doors.get(req) ?? OPEN_DOOR

export interface GuardDeps {
  /** Who has this token. @throws ScissionError unauthenticated, queueUnavailable */
  identify: (token: string) => Promise<Identity>
  /** Further checks of who was identified, against the connection: mutual TLS. @throws ScissionError forbidden */
  checkConnection?: (req: IncomingMessage, identity: Identity) => void
  /**
   * Counts the request of who was identified. @returns undefined if nothing has to be counted.
   * @throws ScissionError tooManyRequests, by the promise.
   */
  count?: (identity: Identity, res: ServerResponse | undefined) => Promise<void> | undefined
}

const identities = new WeakMap<IncomingMessage, Identity>()

/** Who sent a request. One that no guard has looked at came from this machine, or it is not known from whom. */
export const identityOf = (req: IncomingMessage): Identity =>
  identities.get(req) ?? (doorOf(req).asks ? NOBODY : LOCAL)

const lasting = new WeakMap<IncomingMessage, () => Promise<boolean>>()

/** Whether who sent a request would still be let in: for answers that go on for long. */
export const isStillLetIn = async (req: IncomingMessage): Promise<boolean> =>
  (await lasting.get(req)?.()) ?? true

const BEARER = /^Bearer +(\S+)$/i
const LOCAL: Identity = { kind: 'local' }
const NOBODY: Identity = { kind: 'nobody' }

/** Routes that a door does not have. */
export const isShown = ({ shows }: Door, access: Access): boolean =>
  shows !== 'public' || (access !== 'machine' && access !== 'planner')

export class Guard {
  readonly #deps: GuardDeps | undefined

  /** @param deps absent if the service has no system key: then no token holds. */
  constructor(deps?: GuardDeps) {
    this.#deps = deps
  }

  /**
   * @param name the model or deployment in the path.
   * @param res is told what is left of a quota.
   * @returns undefined if nothing has to be looked up, as behind an open door.
   * @throws ScissionError unauthenticated, forbidden, tooManyRequests, queueUnavailable: at once or by the promise.
   */
  admit(
    req: IncomingMessage,
    access: Access,
    name: string | undefined,
    res?: ServerResponse,
  ): Promise<void> | undefined {
    const door = doorOf(req)
    const { authorization } = req.headers
    if (authorization === undefined || !this.#deps) {
      const nobody = door.asks ? NOBODY : LOCAL
      if (authorization !== undefined && door.asks && access !== 'anyone') throw notValid()
      return this.#enter(req, door, nobody, access, name)
    }
    return this.#identify(authorization, door, access).then((identity) => {
      // Also of who is refused: the audit log names it.
      identities.set(req, identity)
      // Probes are not counted. What is not allowed is: it costs as much.
      const counting = access === 'anyone' ? undefined : this.#deps?.count?.(identity, res)
      const enter = () => this.#enter(req, door, identity, access, name)
      return counting ? counting.then(enter) : enter()
    })
  }

  /** To be called for a request whose answer goes on for long, so that `isStillLetIn` can tell. @param name as for `admit`. */
  noteLasting(req: IncomingMessage, access: Access, name: string | undefined): void {
    const { authorization } = req.headers
    const door = doorOf(req)
    if (authorization === undefined || !door.asks) return
    lasting.set(req, async () => {
      try {
        return mayDo(await this.#identify(authorization, door, access), access, name)
      } catch (thrown) {
        // Where it cannot be told now, as while Redis is away, nobody is sent away.
        return !(thrown instanceof ScissionError && thrown.code === 'unauthenticated')
      }
    })
  }

  async #identify(authorization: string, { asks }: Door, access: Access): Promise<Identity> {
    const token = BEARER.exec(authorization)?.[1]
    try {
      if (token === undefined || !this.#deps) throw notValid()
      return await this.#deps.identify(token)
    } catch (thrown) {
      // Nobody has to show anything here: what does not hold counts for nothing.
      if (!asks) return LOCAL
      if (access === 'anyone') return NOBODY
      throw thrown
    }
  }

  #enter(
    req: IncomingMessage,
    door: Door,
    identity: Identity,
    access: Access,
    name: string | undefined,
  ): undefined {
    if (access !== 'anyone') this.#deps?.checkConnection?.(req, identity)
    if (door.shows === 'internal' && identity.kind === 'client' && access !== 'anyone')
      throw new ScissionError(
        'forbidden',
        'this address is for the services of the system: call the public one',
      )
    if (!mayDo(identity, access, name)) throw refusal(identity, access, name)
    return undefined
  }
}

function refusal(identity: Identity, access: Access, name: string | undefined): ScissionError {
  if (identity.kind === 'nobody')
    return new ScissionError(
      'unauthenticated',
      'this needs a token, in a header Authorization: Bearer scn_…; an operator makes one with scission keys add',
    )
  const on = name !== undefined && (access === 'infer' || access === 'about') ? ` on "${name}"` : ''
  return new ScissionError(
    'forbidden',
    `${describeIdentity(identity)} may not do this: it needs the permission "${access}"${on}`,
  )
}
