/** The first choice: a Redis that is already running. */
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { OpenRedis } from './open-redis.ts'
import { askServer } from './server-facts.ts'

/**
 * @param saidKind SCISSION_REDIS_KIND, for a system that uses the Redis of another system.
 * @throws ScissionError badRequest if `url` is not a Redis URL; queueUnavailable with the reason if it does not answer.
 */
export async function useExternalRedis(url: string, log: Logger, saidKind?: string): Promise<OpenRedis> {
  const shown = withoutPassword(url)
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
  return {
    url,
    kind,
    description: `${facts.product} at ${shown} (from REDIS_URL)`,
    close: () => Promise.resolve(),
  }
}

/** The URL for logs and messages. */
function withoutPassword(url: string): string {
  if (!URL.canParse(url)) return url
  const parsed = new URL(url)
  if (parsed.password) parsed.password = '***'
  return parsed.href
}
