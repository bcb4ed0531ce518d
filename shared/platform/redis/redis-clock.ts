/**
 * The clock of Redis, the only one by which processes compare times: clocks of two machines may be hours apart. A
 * heartbeat, the age of a profile and the order of two records are told by it. How long something took within one process
 * is told by `performance.now()`; times of a process' own calendar are for people only.
 */
import type { Redis } from 'ioredis'
import { ScissionError } from '../errors.ts'

/** A reading is good for so long; then the next use has it read again, in case Redis' clock was set. */
const READ_AGAIN_MS = 2000

export class RedisClock {
  readonly #redis: Redis
  /** Redis' time, in epoch ms, and the monotonic time here at which it was that. */
  #reading: { redisMs: number; atMs: number } | undefined
  #underWay: Promise<number> | undefined

  constructor(redis: Redis) {
    this.#redis = redis
    redis.on('ready', () => this.#readAgain())
    if (redis.status === 'ready') this.#readAgain()
  }

  /** Asks Redis. @returns epoch ms. @throws the error of the connection. */
  read(): Promise<number> {
    this.#underWay ??= this.#ask().finally(() => {
      this.#underWay = undefined
    })
    return this.#underWay
  }

  /**
   * Redis' time without asking: the last reading and what has passed since, also while Redis is away.
   * @returns epoch ms. @throws ScissionError queueUnavailable if it was never read.
   */
  now(): number {
    if (!this.#reading)
      throw new ScissionError('queueUnavailable', 'Redis has not been reached yet; retry in a moment')
    const passedMs = performance.now() - this.#reading.atMs
    if (passedMs > READ_AGAIN_MS && this.#redis.status === 'ready') this.#readAgain()
    return this.#reading.redisMs + passedMs
  }

  /** The same as a text, for a record. */
  timestamp(): string {
    return new Date(this.now()).toISOString()
  }

  async #ask(): Promise<number> {
    const [seconds = 0, microseconds = 0] = (await this.#redis.time()).map(Number)
    const redisMs = seconds * 1000 + Math.floor(microseconds / 1000)
    this.#reading = { redisMs, atMs: performance.now() }
    return redisMs
  }

  #readAgain(): void {
    // The connection reports that it is lost; the last reading goes on.
    this.read().catch(() => undefined)
  }
}
