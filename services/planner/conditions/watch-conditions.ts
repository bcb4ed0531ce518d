/** What a planner does about conditions: it notices lost machines, and tells of whatever anybody notices. */
import { Registry } from 'prom-client'
import { MISSED_HEARTBEATS } from '../../../shared/contracts/resource.ts'
import { addConditionMetrics } from '../../../shared/platform/condition-metrics.ts'
import type { Route } from '../../../shared/platform/http-server/route.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { Conditions } from '../../../shared/platform/redis/conditions.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import type { RedisMirror } from '../knowledge/redis-mirror.ts'
import { ConditionFeed } from './condition-feed.ts'
import { ConditionEvents, conditionRoutes } from './condition-routes.ts'
import { LostMachines } from './lost-machines.ts'

export interface WatchDeps {
  state: State
  mirror: RedisMirror
  heartbeatMs: number
  /** Epoch ms of the clock by which heartbeats are dated. */
  now: () => number
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
  const { state, mirror, heartbeatMs, log } = deps
  const feed = new ConditionFeed(mirror)
  const events = new ConditionEvents(feed)
  const conditions = new Conditions({ state, by: 'planner', log })
  const isInformed = informedBy(state, MISSED_HEARTBEATS * heartbeatMs)
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
 * Tells whether heartbeats could be read for so long that a missing one means something: after Redis was away, those on record
 * are old.
 */
function informedBy({ redis }: Pick<State, 'redis'>, forMs: number): () => boolean {
  let since = performance.now()
  redis.on('ready', () => (since = performance.now()))
  return () => redis.status === 'ready' && performance.now() - since > forMs
}
