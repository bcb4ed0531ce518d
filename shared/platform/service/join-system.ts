/**
 * How a service belongs to a system: who it is, its connection to Redis, what it believes of the state there, and whom it lets
 * in. Its app is made with `front`.
 */
import type { IncomingMessage } from 'node:http'
import { browserCheck } from '../access/browser.ts'
import type { Guard } from '../access/guard.ts'
import { type AccessSettings, SystemAccess } from '../access/system-access.ts'
import { Holdings } from '../access/holdings.ts'
import type { RequestLog } from '../http-server/request-log.ts'
import type { Logger } from '../log.ts'
import { producerConnection, type RedisAccess } from '../redis/connections.ts'
import { openState } from '../redis/state.ts'
import { defaultQuotas, type QuotaSettings } from './settings/quota-settings.ts'

export interface SystemSettings extends AccessSettings, QuotaSettings, RedisAccess {
  allowedHosts: readonly string[]
}

/** What stands before the routes of a service. */
export interface Front {
  guard: Guard
  requests: RequestLog | undefined
  warning: string | undefined
  /** Who is let in, for /healthz. */
  accessFacts: () => Record<string, unknown>
  /** What does not work now of what lets callers in. */
  accessWarning: () => string | undefined
  checkBrowser: (req: IncomingMessage) => void
}

/**
 * @param name of the service in the system.
 * @param urls of its own, by whose hosts it is called.
 * @param requests absent = nothing is logged of requests.
 * @throws ScissionError badRequest for settings of access that cannot be.
 */
export function joinSystem(
  settings: SystemSettings,
  name: string,
  log: Logger,
  { requests, urls = [] }: { requests?: RequestLog | undefined; urls?: readonly string[] },
) {
  const quotas = defaultQuotas(settings)
  const access = new SystemAccess(settings, name, log, quotas)
  const redis = producerConnection(settings, log)
  const state = openState(redis, log, access.seal)
  access.follow(state)
  const hosts = urls.filter((url) => url !== '').map((url) => new URL(url).hostname)
  const front: Front = {
    guard: access.guard,
    requests,
    warning: access.warning,
    accessFacts: () => (access.oidc ? { oidc: access.oidc.facts } : {}),
    accessWarning: () => access.oidc?.warning,
    checkBrowser: browserCheck([...settings.allowedHosts, ...hosts]),
  }
  return {
    access,
    redis,
    state,
    front,
    /** What callers have, held to their quotas. */
    holdings: new Holdings(state, quotas),
    leave: () => {
      access.close()
      redis.disconnect()
    },
  }
}
