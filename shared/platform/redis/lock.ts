/**
 * A short lock in Redis, for the few steps over several records that must not interleave between processes: giving out
 * versions of a name, deleting a model that something may begin to use, finding out whether a benchmark is under way.
 * Steps on one record need no lock: see Collection.update. It frees itself LOCK_MS after its holder died, so a process
 * that dies holding it delays the others and blocks nobody; a holder that lives keeps it for as long as its work takes.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { ScissionError } from '../errors.ts'

const LOCK_MS = 10_000
const RENEW_MS = LOCK_MS / 4
const RETRY_MS = 15

/** KEYS key; ARGV value. Removes the key only while it has the value. */
const REMOVE_IF =
  "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"
/** KEYS key; ARGV value, ms. */
const EXPIRE_IF =
  "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end"

/** The lock under which a model is deleted, and under which something that needs it is begun. */
export const modelLock = (model: string): string => `model:${model}`

/**
 * The lock under which models and deployments get their names, of which none may be in both: /v2/models serves both.
 * Take it before any other.
 */
export const NAMES_LOCK = 'names'

/** Removes a key if it has this value, in one step. @returns whether it had. */
export async function removeIf(redis: Redis, key: string, value: string): Promise<boolean> {
  return (await redis.eval(REMOVE_IF, 1, key, value)) === 1
}

/**
 * Runs `work` while holding the lock `name`.
 * @throws ScissionError overloaded if the lock stayed taken; Redis' own error if it cannot be taken; what `work` throws.
 */
export async function withLock<T>(redis: Redis, name: string, work: () => Promise<T>): Promise<T> {
  const key = `scission:lock:${name}`
  const token = randomUUID()
  const giveUpAt = performance.now() + 2 * LOCK_MS
  while ((await redis.set(key, token, 'PX', LOCK_MS, 'NX')) === null) {
    if (performance.now() > giveUpAt)
      throw new ScissionError('overloaded', `another request holds "${name}"; retry in a moment`)
    await sleep(RETRY_MS)
  }
  // A renewal that fails is followed by another one; without Redis the work fails by itself.
  const renewal = setInterval(
    () => void redis.eval(EXPIRE_IF, 1, key, token, LOCK_MS).catch(() => undefined),
    RENEW_MS,
  )
  try {
    return await work()
  } finally {
    clearInterval(renewal)
    // The caller gets the outcome of the work; a lock that Redis cannot release now frees itself.
    await removeIf(redis, key, token).catch(() => undefined)
  }
}
