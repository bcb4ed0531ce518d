/** What a planner does about conditions: it notices lost machines, and tells of whatever anybody notices. */
import { Registry } from 'prom-client'
import { MISSED_HEARTBEATS } from '../../../shared/contracts/resource.ts'
import { addConditionMetrics } from '../../../shared/platform/condition-metrics.ts'
import type { ClientStreams } from '../../../shared/platform/http-server/client-streams.ts'
import type { Route } from '../../../shared/platform/http-server/route.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { Conditions } from '../../../shared/platform/redis/conditions.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import type { RedisMirror } from '../knowledge/redis-mirror.ts'
import { ConditionFeed } from './condition-feed.ts'
import { ConditionEvents, conditionRoutes } from './condition-routes.ts'
import { LostMachines } from './lost-machines.ts'

/** Redis is asked once in a heartbeat: after so many that it did not take, those of machines did not arrive either. */
const SILENT_HEARTBEATS = 2

export interface WatchDeps {
  state: State
  mirror: RedisMirror
  heartbeatMs: number
  /** Epoch ms of the clock by which heartbeats are dated. */
  now: () => number
  /** Rejects if Redis takes no writes. */
  checkWritable: () => Promise<void>
  clientStreams: ClientStreams
  log: Logger
}

export interface ConditionWatch {
  feed: ConditionFeed
  metrics: Registry
  routes: Route[]
  /** Ends open event streams, so that the HTTP server can close. */
  endStreams: () => void
  close: () => void
}

export function watchConditions(deps: WatchDeps): ConditionWatch {
  const { state, mirror, heartbeatMs, checkWritable, log } = deps
  const feed = new ConditionFeed(mirror)
  const events = new ConditionEvents(feed, deps.clientStreams)
  const conditions = new Conditions({ state, by: 'planner', log })
  const isInformed = informedBy(state, checkWritable, heartbeatMs)
  const lost = new LostMachines({ ...deps, conditions, isInformed })
  lost.start()
  const metrics = new Registry()
  addConditionMetrics(metrics, {
    active: (kind) => feed.count(kind),
    began: (kind) => conditions.began(kind),
  })
  return {
    feed,
    metrics,
    routes: conditionRoutes({ feed, ready: () => mirror.ready() }, events),
    endStreams: () => events.endStreams(),
    close: () => lost.close(),
  }
}

/**
 * Tells whether heartbeats could arrive for so long that a missing one means something. After Redis was away, took no writes
 * (it is full, or a replica), or was silent on a connection that stayed (its machine swaps, a script runs for long), and after
 * this process stood still, those on record are old.
 * @param checkWritable rejects if Redis takes no heartbeat now.
 */
export function informedBy(
  { redis }: Pick<State, 'redis'>,
  checkWritable: () => Promise<void>,
  heartbeatMs: number,
  monotonicMs = () => performance.now(),
): () => Promise<boolean> {
  let since = monotonicMs()
  let answeredAt = since
  redis.on('ready', () => (since = monotonicMs()))
  return async () => {
    try {
      await checkWritable()
    } catch {
      return false // Readiness says why.
    }
    const now = monotonicMs()
    if (now - answeredAt > SILENT_HEARTBEATS * heartbeatMs) since = now
    answeredAt = now
    return redis.status === 'ready' && now - since > MISSED_HEARTBEATS * heartbeatMs
  }
}
