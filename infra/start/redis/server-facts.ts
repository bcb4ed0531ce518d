/** Asks a Redis server for its product, version, process id and settings. */
import { Redis } from 'ioredis'
import { coerceError } from '../../../shared/platform/errors.ts'

export interface ServerFacts {
  /** "Valkey 8.0.1", "Redis 7.0.15", "js-redis-server (Redis 8.0.0)" */
  product: string
  processId: number
  emulated: boolean
  /** Undefined if the server does not tell; managed servers refuse CONFIG. */
  maxmemoryPolicy: string | undefined
}

const CONNECT_TIMEOUT_MS = 2000

/** Asks once. @throws the reason why there is no answer: refused, not Redis, wrong password, still loading. */
export async function askServer(url: string): Promise<ServerFacts> {
  const redis = new Redis(url, {
    lazyConnect: true,
    retryStrategy: null,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: CONNECT_TIMEOUT_MS,
  })
  let reason: Error | undefined
  redis.on('error', (error) => {
    reason = error
  })
  try {
    await redis.connect()
    await redis.ping()
    const info = await redis.info('server')
    const policy = await redis.config('GET', 'maxmemory-policy').catch(() => undefined)
    return factsFrom(info, policy)
  } catch (thrown) {
    // ioredis rejects with "Connection is closed"; the reason came before, as an event.
    throw reason ?? coerceError(thrown)
  } finally {
    redis.disconnect()
  }
}

function factsFrom(info: string, policy: unknown): ServerFacts {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1]
  const emulated = field('os')?.includes('mocked') ?? false
  const version = field('redis_version') ?? 'of unknown version'
  const valkey = field('valkey_version')
  const product = valkey === undefined ? `Redis ${version}` : `Valkey ${valkey}`
  return {
    product: emulated ? `js-redis-server (as ${product})` : product,
    processId: Number(field('process_id') ?? 0),
    emulated,
    maxmemoryPolicy: Array.isArray(policy) ? String(policy[1]) : undefined,
  }
}
