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
import path from 'node:path'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { hidePasswordOf } from '../../../shared/platform/hidden-passwords.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { findOnPath } from '../processes/find-on-path.ts'
import type { ManagedProcess, ProcessOptions } from '../processes/process.ts'
import type { Restart, SupervisedProcess } from '../processes/supervised.ts'
import { askServer } from './server-facts.ts'
import { startEmulatedRedis } from './start-emulated.ts'
import { startPrivateRedis } from './start-private.ts'

export interface OpenRedis {
  /** It holds the password of a server that was started here: not to be printed. */
  url: string
  kind: 'external' | 'private' | 'emulated'
  /** One line for people: product, version, address, and whether data is kept on disk. */
  description: string
  /** Process id of the server, if this system started it: of the one that runs now, if it is started again. */
  readonly pid?: number | undefined
  /** Stops the server, if this system started it. */
  close: () => Promise<void>
}

export interface RedisNeeds {
  /** Data folder of a private server, created if missing; without it data is in memory only. */
  dataDir?: string | undefined
  log: Logger
  /** Environment; only REDIS_URL, SCISSION_REDIS_KIND and PATH are read. */
  env: NodeJS.ProcessEnv
  /** `ProcessGroup.supervise`: a server that was started here is started again when it ends. Without it it is not. */
  supervise?:
    | ((first: ManagedProcess, options: Omit<ProcessOptions, 'log'>, restart: Restart) => SupervisedProcess)
    | undefined
}

const SERVERS = ['valkey-server', 'redis-server']

/**
 * @throws ScissionError badRequest or queueUnavailable if REDIS_URL is wrong or does not answer (no other choice is tried,
 * because this one was asked for); conflict if another system uses `dataDir`; internal if a server cannot be started, with
 * its last lines.
 */
export async function openRedis(needs: RedisNeeds): Promise<OpenRedis> {
  const redis = await firstAvailable(needs)
  needs.log.info({ redis: redis.kind }, `Redis: ${redis.description}`)
  return redis
}

function firstAvailable({ dataDir, log, env, supervise }: RedisNeeds): Promise<OpenRedis> {
  if (env.REDIS_URL) return useExternalRedis(env.REDIS_URL, log, env.SCISSION_REDIS_KIND)
  const command = SERVERS.map((name) => findOnPath(name, env.PATH)).find((found) => found !== undefined)
  if (command === undefined) return startEmulatedRedis({ log, supervise })
  return startPrivateRedis(command, dataDir === undefined ? undefined : path.resolve(dataDir), {
    log,
    supervise,
  })
}

/** @param saidKind SCISSION_REDIS_KIND, for a system that uses the Redis of another system. */
async function useExternalRedis(url: string, log: Logger, saidKind?: string): Promise<OpenRedis> {
  const shown = hidePasswordOf(url)
  if (!/^rediss?:\/\/./.test(url)) {
    throw new ScissionError('badRequest', `REDIS_URL must look like redis://host:6379, got: ${shown}`)
  }
  const facts = await askServer(url).catch((thrown: unknown) => {
    const { message } = coerceError(thrown)
    throw new ScissionError(
      'queueUnavailable',
      `the Redis of REDIS_URL (${shown}) does not answer: ${message}. Start it, correct REDIS_URL, ` +
        'or unset it to have one started here',
      { url: shown },
      thrown,
    )
  })
  if (facts.maxmemoryPolicy !== undefined && facts.maxmemoryPolicy !== 'noeviction') {
    log.warn(
      `Redis at ${shown} has maxmemory-policy ${facts.maxmemoryPolicy}: it may drop queued jobs when ` +
        'memory is short; set it to noeviction',
    )
  }
  // An emulated Redis counts as emulated even if another system runs it.
  const kind = facts.emulated ? 'emulated' : saidKind === 'private' ? 'private' : 'external'
  const description = `${facts.product} at ${shown} (from REDIS_URL)`
  return { url, kind, description, close: () => Promise.resolve() }
}
