/**
 * The one place for how this product talks to Redis and BullMQ. A service opens its connections with
 * `producerConnection` and `workerConnection`, and spreads `queueOptions`, `eventsOptions` or `workerOptions`
 * into what it creates. Three rules are kept here so that nobody has to remember them:
 *
 * - BullMQ's stalled check is one timer per queue, set by whichever worker came last: a single worker with
 *   another interval changes it for all. Hence one constant, and `workerOptions` for every worker.
 * - A producer answers requests: when Redis is lost its commands fail at once (a 503), they never wait in a
 *   queue. A worker has nobody waiting: it retries for ever, and BullMQ insists on that.
 * - Every connection, Queue, Worker, FlowProducer and QueueEvents has an `error` listener, or Node ends the
 *   process.
 */
import type { QueueEventsOptions, QueueOptions, WorkerOptions } from 'bullmq'
import { Redis, type RedisOptions } from 'ioredis'
import type { Logger } from '../log.ts'

/**
 * A killed worker's job runs again within lock + stalled interval, 4.5 s. The lock is renewed five times as often as it
 * needs to be: a worker's event loop may be busy for 2.8 s, and measuring is in a child process anyway. A worker that
 * lost its lock all the same does its job again, which for every job of ours is a waste and no harm.
 */
export const LOCK_DURATION_MS = 3500
export const LOCK_RENEW_MS = 700
/** How often jobs without a lock are looked for. */
export const STALLED_INTERVAL_MS = 1000
/** A job that lost its worker more often than this is failed: it may be what kills them. */
export const MAX_STALLED_COUNT = 2

/**
 * Events a queue remembers for a listener that was away (BullMQ: 10,000). Enough for minutes of progress; the
 * emulated Redis copies all of them with every new one.
 */
const EVENTS_KEPT = 1000

/** A producer's command that got no answer by then fails, even on a connection that looks alive. */
export const COMMAND_TIMEOUT_MS = 30_000
const CONNECT_TIMEOUT_MS = 5000
const FIRST_RETRY_MS = 50
const LONGEST_RETRY_MS = 2000

/** Reconnects for ever, at once at first, then every 2 s. */
const retryStrategy = (attempt: number) => Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), LONGEST_RETRY_MS)

/**
 * ioredis options by role. `producer` serves requests and fails fast; `worker` waits as long as it takes and
 * is what Worker, QueueEvents and anything else that blocks or subscribes needs.
 */
export function redisOptions(role: 'producer' | 'worker'): RedisOptions {
  const common = { retryStrategy, connectTimeout: CONNECT_TIMEOUT_MS }
  return role === 'producer'
    ? { ...common, enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: COMMAND_TIMEOUT_MS }
    : { ...common, maxRetriesPerRequest: null }
}

/**
 * For Queue, FlowProducer, Job and plain commands. Connects by itself; until then its commands are refused.
 */
export function producerConnection(url: string, log?: Logger): Redis {
  return reportOutages(new Redis(url, redisOptions('producer')), log)
}

/** For Worker, QueueEvents and subscribers. BullMQ opens what more it needs by duplicating this one. */
export function workerConnection(url: string, log?: Logger): Redis {
  return reportOutages(new Redis(url, redisOptions('worker')), log)
}

/**
 * Says that Redis is lost and that it is back, once each: ioredis emits an error with every attempt to
 * reconnect.
 */
function reportOutages(redis: Redis, log: Logger | undefined): Redis {
  let lost = false
  redis.on('error', (error: Error) => {
    if (lost) log?.debug({ err: error }, 'Redis still cannot be reached')
    else log?.warn({ err: error }, `Redis cannot be reached: ${error.message}`)
    lost = true
  })
  redis.on('ready', () => {
    if (lost) log?.info('Redis is reachable again')
    lost = false
  })
  return redis
}

/** For Queue and FlowProducer; `connection` from `producerConnection`. */
export function queueOptions(connection: Redis): QueueOptions {
  return { connection, streams: { events: { maxLen: EVENTS_KEPT } } }
}

/** For QueueEvents; `connection` from `workerConnection`. */
export function eventsOptions(connection: Redis): QueueEventsOptions {
  return { connection }
}

/**
 * For every Worker; `connection` from `workerConnection`. Concurrency is 1 unless set by the caller.
 * Do not override the three recovery settings: they must be the same in all workers of a queue.
 */
export function workerOptions(connection: Redis): WorkerOptions {
  return {
    connection,
    lockDuration: LOCK_DURATION_MS,
    lockRenewTime: LOCK_RENEW_MS,
    stalledInterval: STALLED_INTERVAL_MS,
    maxStalledCount: MAX_STALLED_COUNT,
  }
}

/** BullMQ's Queue, Worker, QueueEvents and FlowProducer as far as their errors go. */
interface ReportsErrors {
  on: (event: 'error', listener: (error: Error) => void) => unknown
}

/** Gives a Queue, Worker, QueueEvents or FlowProducer its `error` listener, and returns it. */
export function withErrorHandler<T extends ReportsErrors>(emitter: T, name: string, log?: Logger): T {
  // The connection below has said that Redis is lost: this is the same news once more.
  emitter.on('error', (error) => log?.debug({ err: error, queue: name }, error.message))
  return emitter
}
