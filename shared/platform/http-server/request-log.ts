/**
 * What was asked of a service, by whom, and how it ended.
 *
 *   audit    each request that changes something, or was refused to change it: always, in a file or in the log
 *   access   every request: only if it is turned on
 *
 * A flood of refused requests does not fill the disk: beyond so many a second they are counted, and the count is written.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { LRUCache } from 'lru-cache'
import { identityOf } from '../access/guard.ts'
import { type Access, describeIdentity } from '../access/identity.ts'
import type { Logger, RequestLogs } from '../log.ts'
import type { Route } from './route.ts'

/** Refusals written in a second, of each identity, and of all callers without one together. */
const REFUSALS_PER_SECOND = 10
const SECOND_MS = 1000
/** Identities whose refusals are counted apart. */
const MAX_COUNTED = 1000

/** Refusals of one identity within a second. */
interface Refusals {
  sinceMs: number
  written: number
  untold: number
}

/** What changes the system, or what machines do. */
const AUDITED: readonly Access[] = ['operate', 'manage', 'planner']

/** Reads are not, also where only operators may read. */
const isAudited = ({ access, method }: Pick<Route, 'access' | 'method'>): boolean =>
  AUDITED.includes(access) && method !== 'get'

export class RequestLog {
  readonly #audit: Logger
  readonly #access: Logger | undefined
  readonly #refusals = new LRUCache<string, Refusals>({ max: MAX_COUNTED })

  constructor({ audit, access }: RequestLogs) {
    this.#audit = audit
    this.#access = access
  }

  /** To be called when a request comes in. */
  accessed(req: IncomingMessage, res: ServerResponse): void {
    const log = this.#access
    if (!log) return
    const startedAt = performance.now()
    const { method, url, socket } = req
    const from = socket.remoteAddress
    res.once('close', () => {
      const ms = Math.round(10 * (performance.now() - startedAt)) / 10
      const status = res.writableFinished || res.headersSent ? res.statusCode : 'gone'
      log.info({ who: describeIdentity(identityOf(req)), from, method, url, status, ms }, 'request')
    })
  }

  /** To be called before a request is let in. @param params of its path: what it is about. */
  audited(route: Route, params: Record<string, unknown>, req: IncomingMessage, res: ServerResponse): void {
    if (!isAudited(route)) return
    const from = req.socket.remoteAddress
    res.once('close', () => {
      const status = res.headersSent ? res.statusCode : 0
      const who = describeIdentity(identityOf(req))
      if ((status === 401 || status === 403) && this.#isTooMuch(who)) return
      // Of what a request makes, the answer names the place.
      const made = res.getHeader('Location')
      const on = { ...params, ...(made !== undefined && { made }) }
      const what = { who, from, did: route.id, on, status }
      this.#audit.info(what, `${resultOf(status)}: ${route.id}`)
    })
  }

  #isTooMuch(who: string): boolean {
    const now = performance.now()
    let of = this.#refusals.get(who)
    if (!of || now - of.sinceMs >= SECOND_MS) {
      if (of && of.untold > 0)
        this.#audit.info({ who, refused: of.untold }, 'refused requests that are not listed')
      of = { sinceMs: now, written: 0, untold: 0 }
      this.#refusals.set(who, of)
    }
    of.written += 1
    if (of.written <= REFUSALS_PER_SECOND) return false
    of.untold += 1
    return true
  }
}

function resultOf(status: number): string {
  if (status === 0) return 'not answered'
  if (status === 401 || status === 403) return 'refused'
  return status < 400 ? 'done' : 'failed'
}
