/**
 * Which deployments are being loaded, and that somebody is at it: whoever loads one holds a lease in Redis. A load without a lease
 * was left half-way by a planner that is gone, and any other planner takes it up.
 */
import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { execAll } from '../../../shared/platform/redis/exec-all.ts'
import { removeIf } from '../../../shared/platform/redis/lock.ts'

/** Redis set of the ids. */
const UNDER_WAY = 'scission:loads-under-way'
const leaseOf = (id: string): string => `scission:load-lease:${id}`

/** By Redis' clock. */
const LEASE_MS = 10_000
const RENEW_MS = LEASE_MS / 4
/** A Redis that was emptied, or was away, has no lease until its holder renews it. */
const UNHELD_MS = 2 * RENEW_MS

export class LoadsUnderWay {
  readonly #redis: Redis
  /** Ids without a lease, and since when (`performance.now()`) this process has found none. */
  #unheld = new Map<string, number>()

  constructor(redis: Redis) {
    this.#redis = redis
  }

  /** Holds the lease. Without Redis the next renewal does. @returns ends that. */
  hold(id: string): () => void {
    const [redis, token] = [this.#redis, randomUUID()]
    const renew = () => {
      const lease = redis.multi().sadd(UNDER_WAY, id).set(leaseOf(id), token, 'PX', LEASE_MS)
      // Redis is away, or takes no writes, as the connection and the readiness say: the next renewal tries again.
      execAll(lease).catch(() => undefined)
    }
    renew()
    const renewal = setInterval(renew, RENEW_MS)
    return () => {
      clearInterval(renewal)
      // It ends by itself if Redis is away.
      removeIf(redis, leaseOf(id), token).catch(() => undefined)
    }
  }

  /** Ids whose lease has ended, each given to one planner alone, at every call until it is held or forgotten. @throws Redis' error. */
  async abandoned(): Promise<string[]> {
    const before = this.#unheld
    this.#unheld = new Map()
    const found: string[] = []
    for (const id of await this.#redis.smembers(UNDER_WAY)) {
      if ((await this.#redis.exists(leaseOf(id))) === 1) continue
      const since = before.get(id) ?? performance.now()
      this.#unheld.set(id, since)
      if (performance.now() - since < UNHELD_MS) continue
      if ((await this.#redis.set(leaseOf(id), 'taken', 'PX', LEASE_MS, 'NX')) !== null) found.push(id)
    }
    return found
  }

  /** It has ended. */
  async forget(id: string): Promise<void> {
    await execAll(this.#redis.multi().srem(UNDER_WAY, id).del(leaseOf(id)))
  }
}
