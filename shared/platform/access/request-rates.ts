/**
 * Requests per second of each identity, counted over all services in Redis:
 *
 *   no quota ──▶ nothing is counted, Redis is not asked
 *   quota    ──▶ known here to be used up? refused without asking
 *            └─▶ counted in Redis: within a second, then of the burst, within ten
 *            └─▶ Redis is away or silent: counted here, so that each service by itself takes no more than the quota
 */
import type { ServerResponse } from 'node:http'
import type { Redis } from 'ioredis'
import { LRUCache } from 'lru-cache'
import { BurstyRateLimiter, RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible'
import type { Quotas } from '../../contracts/quota.ts'
import { waitAtMost } from '../deadline.ts'
import { coerceError } from '../errors.ts'
import type { Identity } from './identity.ts'
import { accountOf, type Limits, limitsOf, overQuota } from './quotas.ts'

const BURST_SECONDS = 10
/** Longest wait for Redis, which answers in milliseconds or not at all. */
const PATIENCE_MS = 1000
/** For so long after Redis did not answer nobody waits for it. */
const SPARED_MS = 5000
/** Quotas of different sizes that are in use at a time: each has counters of its own here. */
const MAX_SIZES = 1000

type Limiter = Pick<BurstyRateLimiter, 'consume'>
interface Limiters {
  shared: Limiter
  /** While Redis is away: the insurance of the shared ones. */
  alone: Limiter
}

export class RequestRates {
  readonly #redis: () => Redis
  readonly #defaults: Quotas
  readonly #limiters = new LRUCache<string, Limiters>({ max: MAX_SIZES })
  #spareUntilMs = -Infinity

  /** @param defaults quotas of who has none. */
  constructor(redis: () => Redis, defaults: Quotas) {
    this.#redis = redis
    this.#defaults = defaults
  }

  /**
   * Counts a request.
   * @param res is told what is left, in the headers RateLimit and RateLimit-Policy.
   * @returns undefined, at once, if the caller has no quota. @throws ScissionError tooManyRequests, by the promise.
   */
  count(identity: Identity, res?: ServerResponse): Promise<void> | undefined {
    const limits = limitsOf(identity, this.#defaults)
    const account = accountOf(identity)
    if (limits.requests === undefined || account === undefined) return undefined
    return this.#count(identity, account, { ...limits, requests: limits.requests }, res)
  }

  async #count(
    identity: Identity,
    account: string,
    limits: Limits & { requests: number },
    res: ServerResponse | undefined,
  ): Promise<void> {
    const { requests, burst = 0 } = limits
    const counted = await this.#consume(this.#limitersOf(requests, burst), account)
    const seconds = Math.max(1, Math.ceil(counted.msBeforeNext / 1000))
    if (res && !res.headersSent) {
      const policies = [
        `"requests";q=${requests};w=1`,
        ...(burst > 0 ? [`"burst";q=${burst};w=${BURST_SECONDS}`] : []),
      ]
      res.setHeader('RateLimit-Policy', policies.join(', '))
      res.setHeader('RateLimit', `"requests";r=${counted.remainingPoints};t=${seconds}`)
    }
    if (!counted.isRefused) return
    const more = burst > 0 ? `, and ${burst} more in every ${BURST_SECONDS} seconds,` : ''
    throw overQuota(
      identity,
      { quota: 'requests', limit: requests, retryAfterSeconds: seconds },
      `may send ${requests} ${requests === 1 ? 'request' : 'requests'} per second${more} and has sent them: try again in ${seconds} s`,
    )
  }

  async #consume({ shared, alone }: Limiters, account: string) {
    if (performance.now() > this.#spareUntilMs) {
      const answer = await waitAtMost(outcomeOf(shared.consume(account)), PATIENCE_MS, undefined)
      if (answer) return answer
      this.#spareUntilMs = performance.now() + SPARED_MS
    }
    return outcomeOf(alone.consume(account))
  }

  /** Limiters know their size, and count by account: under the same names in all services. */
  #limitersOf(requests: number, burst: number): Limiters {
    const size = `${requests} ${burst}`
    const known = this.#limiters.get(size)
    if (known) return known
    const second = this.#pair('scission:rate', requests, 1)
    const spread = burst > 0 ? this.#pair('scission:burst', burst, BURST_SECONDS) : undefined
    const limiters: Limiters = spread
      ? {
          shared: new BurstyRateLimiter(second.shared, spread.shared),
          alone: new BurstyRateLimiter(second.alone, spread.alone),
        }
      : second
    this.#limiters.set(size, limiters)
    return limiters
  }

  #pair(keyPrefix: string, points: number, duration: number) {
    const alone = new RateLimiterMemory({ keyPrefix, points, duration })
    const shared = new RateLimiterRedis({
      storeClient: this.#redis(),
      keyPrefix,
      points,
      duration,
      // Once they are used up Redis is not asked again before they are there again.
      inMemoryBlockOnConsumed: points,
      insuranceLimiter: alone,
      rejectIfRedisNotReady: true,
    })
    return { shared, alone }
  }
}

/** The library rejects with what it counted if that is too much. */
const outcomeOf = (counting: Promise<RateLimiterRes>) =>
  counting.then(
    ({ remainingPoints, msBeforeNext }) => ({ isRefused: false, remainingPoints, msBeforeNext }),
    (thrown: unknown) => {
      if (!(thrown instanceof RateLimiterRes)) throw coerceError(thrown)
      return { isRefused: true, remainingPoints: 0, msBeforeNext: thrown.msBeforeNext }
    },
  )
