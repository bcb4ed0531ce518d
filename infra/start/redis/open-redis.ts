/**
 * Opens a Redis for the system. It takes the first of these that is available:
 *
 *   1. REDIS_URL                               a running server: used, never stopped
 *   2. valkey-server or redis-server on PATH   a private server, started and stopped with the system
 *   3. neither                                 the emulated one (js-redis-server), in a process of its own
 *
 * The choice is logged once and passed to services as SCISSION_REDIS_KIND, so that /healthz and every report name it. On the
 * emulated Redis queues behave the same but are slower, and nothing survives its process.
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
  /** One line for people: product, version, address, and whether data is kept on disk. */
  description: string
  /** Process id of the server, if this system started it. */
  pid?: number | undefined
  /** Stops the server, if this system started it. */
  close: () => Promise<void>
}

export interface RedisNeeds {
  /** Data folder of a private server; without it data is in memory only. */
  dataDir?: string | undefined
  log: Logger
  /** Environment; only REDIS_URL, SCISSION_REDIS_KIND and PATH are read. */
  env: NodeJS.ProcessEnv
}

const SERVERS = ['valkey-server', 'redis-server'] as const

/**
 * @throws ScissionError badRequest or queueUnavailable if REDIS_URL is wrong or does not answer (no other choice is tried,
 * because this one was asked for); conflict if another system uses `dataDir`; internal if a server cannot be started.
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
