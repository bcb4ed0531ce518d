/**
 * Whether Redis refuses the password. Its own words name commands that no operator has typed, and whoever sends a command meanwhile
 * only learns that the connection is not there: so the reason is noted with the connection.
 */
import type { Redis } from 'ioredis'

const WRONG = /^(WRONGPASS\b|ERR invalid password)/
const MISSING = /^NOAUTH\b/

/**
 * In words for an operator, which hold no secret; undefined if the error is another one.
 * @param where the setting that holds the password.
 */
export function passwordRefusal(
  { message }: Error,
  where = 'REDIS_URL or SCISSION_REDIS_PASSWORD',
): string | undefined {
  if (WRONG.test(message)) return `Redis refuses the user or the password of ${where}`
  if (MISSING.test(message))
    return 'Redis wants a password: SCISSION_REDIS_PASSWORD_FILE, or REDIS_URL=redis://:PASSWORD@HOST:6379'
  return undefined
}

/** Of the connections that are refused now. */
const refusals = new Map<Redis, string>()

/** Why a connection is not let in now, if that is why it is lost. */
export const refusalOfConnection = (redis: Redis): string | undefined => refusals.get(redis)

/**
 * Why this process is not let in now: whoever answers a request knows the error of a command and not its connection, which only
 * says that it is not there. All connections of a service go to one Redis with one password.
 */
export function refusalNow(): string | undefined {
  const [refusal] = refusals.values()
  return refusal
}

export function noteRefusal(redis: Redis, refusal: string | undefined): void {
  if (refusal === undefined) refusals.delete(redis)
  else refusals.set(redis, refusal)
}
