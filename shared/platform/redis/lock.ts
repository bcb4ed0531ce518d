/**
 * A short lock in Redis, for the few steps that must not interleave between replicas of this service: giving out
 * versions of a name, and finding out whether the same benchmark is already under way.
 * It frees itself after `LOCK_MS`, so a replica that dies holding it delays the others and blocks nobody.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { ScissionError } from '../errors.ts'

const LOCK_MS = 10_000
const RETRY_MS = 15
/** Removes the lock only while it is still ours. */
const RELEASE =
  "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"

/** @throws ScissionError overloaded when the lock stayed taken; Redis' own error when it cannot be reached. */
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
