/**
 * A short lock in Redis, for steps that must not interleave between replicas of a service: giving out versions of a
 * name, and finding out whether the same benchmark is already running.
 * It expires after `LOCK_MS`, so a replica that dies while holding it delays the others but does not block them.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { ScissionError } from '../errors.ts'

const LOCK_MS = 10_000
const RETRY_MS = 15
/** Removes the lock only if this holder still has it. */
const RELEASE =
  "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"

/**
 * Runs `work` while holding the lock `name`.
 * @throws ScissionError overloaded if the lock stayed taken; Redis' own error if it cannot be reached.
 */
export async function withLock<T>(redis: Redis, name: string, work: () => Promise<T>): Promise<T> {
  const key = `scission:lock:${name}`
  const token = randomUUID()
  const giveUpAt = Date.now() + 2 * LOCK_MS
  while ((await redis.set(key, token, 'PX', LOCK_MS, 'NX')) === null) {
    if (Date.now() > giveUpAt)
      throw new ScissionError('overloaded', `another request holds "${name}"; retry in a moment`)
    await sleep(RETRY_MS)
  }
  try {
    return await work()
  } finally {
    await redis.eval(RELEASE, 1, key, token)
  }
}
