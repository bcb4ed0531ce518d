/**
 * A Redis for the system, whatever the machine offers. First rung that holds:
 *
 *   1. REDIS_URL                               somebody runs one: use it, never stop it
 *   2. valkey-server or redis-server on PATH   start a private one, stop it with us
 *   3. nothing                                 the emulated one (js-redis-server), in a process of its own
 *
 * Which rung it is gets logged once and is passed to services as SCISSION_REDIS_KIND, so that /healthz and
 * every report can say it: queues on the emulated one work alike but slower, and nothing survives its
 * process.
 */
import type { Logger } from '../../../shared/platform/log.ts'
import { findOnPath } from '../processes/find-on-path.ts'
import { startEmulatedRedis } from './emulated-server.ts'
import { useExternalRedis } from './external-server.ts'
import { startPrivateRedis } from './private-server.ts'

export type RedisKind = 'external' | 'private' | 'emulated'

export interface OpenRedis {
  url: string
  kind: RedisKind
  /** One line for people: product, version, where, and whether its data lasts. */
  description: string
  /** Of the server process, when it is ours. */
  pid?: number | undefined
  /** Stops the server when it is ours. */
  close: () => Promise<void>
}

export interface RedisNeeds {
  /** Where a private server keeps its data; absent = in memory only. */
  dataDir?: string | undefined
  log: Logger
  /** Only REDIS_URL, SCISSION_REDIS_KIND and PATH are looked at. */
  env: NodeJS.ProcessEnv
}

const SERVERS = ['valkey-server', 'redis-server'] as const

/**
 * @throws ScissionError badRequest or queueUnavailable when REDIS_URL is wrong or does not answer (no lower
 *   rung is tried: it was asked for); conflict when another system is using `dataDir`; internal when a server
 *   of ours does not start.
 */
export async function openRedis({ dataDir, log, env }: RedisNeeds): Promise<OpenRedis> {
  const redis = await firstThatHolds({ dataDir, log, env })
  log.info({ redis: redis.kind }, `Redis: ${redis.description}`)
  return redis
}

function firstThatHolds({ dataDir, log, env }: RedisNeeds): Promise<OpenRedis> {
  if (env.REDIS_URL) return useExternalRedis(env.REDIS_URL, log, env.SCISSION_REDIS_KIND)
  const command = SERVERS.map((name) => findOnPath(name, env.PATH)).find((found) => found !== undefined)
  if (command !== undefined) return startPrivateRedis({ command, dataDir, log })
  return startEmulatedRedis(log)
}
