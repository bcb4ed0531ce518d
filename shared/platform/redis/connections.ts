/**
 * Connections to Redis, by role. A producer answers requests: when Redis is lost its commands fail at once (a 503) and
 * never wait. A worker has nobody waiting: it reconnects for ever, as BullMQ demands. Every connection has an `error`
 * listener, or Node would end the process.
 */
import { Redis, type RedisOptions } from 'ioredis'
import type { Logger } from '../log.ts'

/** A producer's command without an answer by then fails, even on a connection that looks alive. */
const COMMAND_TIMEOUT_MS = 30_000
const CONNECT_TIMEOUT_MS = 5000
const FIRST_RETRY_MS = 50
const MAX_RETRY_MS = 2000

/** Delay before attempt 1, 2, …: doubled each time, up to 2 s, for ever. */
const retryStrategy = (attempt: number) => Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), MAX_RETRY_MS)

const COMMON: RedisOptions = { retryStrategy, connectTimeout: CONNECT_TIMEOUT_MS }

/**
 * Serves requests and fails fast: for Queue, FlowProducer, Job and plain commands. Connects by itself; until then its
 * commands are refused.
 */
export function producerConnection(url: string, log?: Logger): Redis {
  const failFast = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: COMMAND_TIMEOUT_MS }
  return reportOutages(new Redis(url, { ...COMMON, ...failFast }), log)
}

/**
 * Waits as long as it takes: for Worker, QueueEvents and whatever else blocks or subscribes. BullMQ duplicates it for
 * further connections that it needs.
 */
export function workerConnection(url: string, log?: Logger): Redis {
  return reportOutages(new Redis(url, { ...COMMON, maxRetriesPerRequest: null }), log)
}

/** Redis' own words for a password that is missing or wrong name commands that no operator has typed. */
function whyNot(message: string): string {
  if (/^NOAUTH\b/.test(message)) return 'it wants a password: REDIS_URL=redis://:PASSWORD@HOST:6379'
  if (/^WRONGPASS\b/.test(message)) return 'it refuses the user or the password of REDIS_URL'
  return message
}

/** Logs once that Redis is lost and once that it is back: ioredis emits an error with every attempt to reconnect. */
function reportOutages(redis: Redis, log: Logger | undefined): Redis {
  let lost = false
  redis.on('error', (error: Error) => {
    if (lost) log?.debug({ err: error }, 'Redis still cannot be reached')
    else log?.warn({ err: error }, `Redis cannot be reached: ${whyNot(error.message)}`)
    lost = true
  })
  redis.on('ready', () => {
    if (lost) log?.info('Redis is reachable again')
    lost = false
  })
  return redis
}
