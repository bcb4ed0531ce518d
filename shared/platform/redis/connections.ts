/**
 * Connections to Redis, by role. A producer answers requests: when Redis is lost its commands fail at once (a 503) and
 * never wait. A worker has nobody waiting: it reconnects for ever, as BullMQ demands. Every connection has an `error`
 * listener, or Node would end the process.
 */
import { Redis, type RedisOptions } from 'ioredis'
import type { Logger } from '../log.ts'
import { noteRefusal, passwordRefusal } from './refused-password.ts'

/** A producer's command without an answer by then fails, even on a connection that looks alive. */
const COMMAND_TIMEOUT_MS = 30_000
const CONNECT_TIMEOUT_MS = 5000
const FIRST_RETRY_MS = 50
const MAX_RETRY_MS = 2000

/** Where Redis is, and how one gets in. A URL stands for one without a password elsewhere. */
export interface RedisAccess {
  /** With the password as it was when the service started. */
  redisUrl: string
  redisPassword?: FollowedPassword | undefined
}

/** A password that may be replaced while the service runs. */
interface FollowedPassword {
  /** The setting that holds it, for messages. */
  readonly setting: string
  /** As it is now. @param onFault is told if it cannot be read: then what was read last counts. */
  now: (onFault: (error: Error) => void) => string
}

/** ms before attempt 1, 2, …: doubled each time, up to 2 s, for ever. */
const delayBefore = (attempt: number) => Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), MAX_RETRY_MS)

/**
 * Options of every connection. Before it connects again the password is read anew: somebody may have replaced it, on the server and
 * in its file. ioredis calls the function as a method of the connection's own options, also of those of a duplicate.
 */
function commonOptions({ redisPassword }: RedisAccess, log: Logger | undefined): RedisOptions {
  let told = ''
  const onFault = ({ message }: Error) => {
    if (message !== told) log?.warn(`${message}: the password that was read last is used`)
    told = message
  }
  return {
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy(this: RedisOptions, attempt: number) {
      if (redisPassword) this.password = redisPassword.now(onFault)
      return delayBefore(attempt)
    },
  }
}

const accessOf = (to: string | RedisAccess): RedisAccess => (typeof to === 'string' ? { redisUrl: to } : to)

/**
 * Serves requests and fails fast: for Queue, FlowProducer, Job and plain commands. Connects by itself; until then its
 * commands are refused.
 */
export function producerConnection(to: string | RedisAccess, log?: Logger): Redis {
  const access = accessOf(to)
  const failFast = { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: COMMAND_TIMEOUT_MS }
  return reportOutages(
    new Redis(access.redisUrl, { ...commonOptions(access, log), ...failFast }),
    access,
    log,
  )
}

/**
 * Waits as long as it takes: for Worker, QueueEvents and whatever else blocks or subscribes. BullMQ duplicates it for
 * further connections that it needs.
 */
export function workerConnection(to: string | RedisAccess, log?: Logger): Redis {
  const access = accessOf(to)
  const patient = { ...commonOptions(access, log), maxRetriesPerRequest: null }
  return reportOutages(new Redis(access.redisUrl, patient), access, log)
}

/**
 * Logs once that Redis is lost, once that it refuses the password, and once that it is back: ioredis emits an error with every attempt
 * to reconnect.
 */
function reportOutages(redis: Redis, { redisPassword }: RedisAccess, log: Logger | undefined): Redis {
  let lost = false
  let refused = false
  redis.on('error', (error: Error) => {
    const setting = redisPassword?.setting ?? 'REDIS_URL'
    const refusal = passwordRefusal(error, setting)
    const isNews = refusal === undefined ? !lost : !refused
    if (isNews) log?.warn({ err: error }, `Redis cannot be reached: ${refusal ?? error.message}`)
    else log?.debug({ err: error }, 'Redis still cannot be reached')
    lost = true
    if (refusal !== undefined) refused = true
    // It is answered to callers, who learn the name of the setting and not of the file behind it.
    noteRefusal(redis, passwordRefusal(error, setting.split(' ', 1)[0]))
    // Commands that waited are rejected with this very error. BullMQ takes an error with this code for a lost connection and tries
    // again; for any other it would have a job fail whose result it could not write.
    if (refusal !== undefined) Object.assign(error, { code: 'ECONNREFUSED' })
  })
  redis.on('ready', () => {
    if (lost) log?.info('Redis is reachable again')
    lost = false
    refused = false
    noteRefusal(redis, undefined)
  })
  redis.on('end', () => noteRefusal(redis, undefined))
  return redis
}
