/**
 * Notices that Redis has lost all that it held (a restart without persistence, FLUSHALL) and has each service write back
 * what it knows. A mark in Redis tells one memory from the next: a service that finds no mark, or another one than it knew,
 * restores.
 *
 *   unknown ──first look──▶ known ──the mark is gone or another one──▶ lost: restore ──done──▶ known
 *                                                                          └── failed: at the next look again
 *
 * Restoring writes only what is missing (`Collection.restore`), so several services may do so at once.
 */
import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { coerceError } from '../errors.ts'
import type { Logger } from '../log.ts'

const MARK = 'scission:memory'

/** Redis key that exists for a while after the document was deleted: it must not be restored. */
export const deletedKey = (kind: string, id: string): string => `scission:deleted:${kind}:${id}`

/** Other services restore within seconds. For so long a document that is not there may only be missing for now. */
export const DOUBT_MS = 60_000

export interface Restored {
  /** What was written back, by kind. */
  restored: Record<string, number>
  /** What nobody can write back, in words for an operator. */
  notRestored: readonly string[]
}

/** The last loss, as /healthz shows it. */
export interface LossReport extends Restored {
  noticedAt: string
}

export interface MemoryWatch {
  /** Writes back what this service knows and Redis lacks. */
  restore: () => Promise<Restored>
  /** How often Redis is looked at, in ms; it is looked at after every reconnection too. */
  everyMs: number
  /** The mark of the memory that this service knew in an earlier run. */
  known?: string | undefined
  /** Told the mark once this service has what is in that memory, and it has what this service knew. */
  onKnown?: ((mark: string) => Promise<void>) | undefined
}

export class RedisMemory {
  readonly #redis: Redis
  readonly #log: Logger | undefined
  #watch: MemoryWatch | undefined
  #known: string | undefined
  /** True once this process has seen a memory: before that, a new one is no loss. */
  #seen = false
  #lostAtMs = -Infinity
  #report: LossReport | undefined
  #looking: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(redis: Redis, log?: Logger) {
    this.#redis = redis
    this.#log = log
  }

  /** Begins to look after Redis. */
  watch(watch: MemoryWatch): void {
    this.#watch = watch
    this.#known = watch.known
    this.#redis.on('ready', this.#lookSoon)
    this.#timer = setInterval(this.#lookSoon, watch.everyMs).unref()
    if (this.#redis.status === 'ready') this.#lookSoon()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#redis.off('ready', this.#lookSoon)
  }

  /** The last loss that this service noticed. */
  get lost(): LossReport | undefined {
    return this.#report
  }

  /**
   * Looks now; if the memory is lost, resolves once this service has written back what it knows.
   * @throws what Redis answers, if it cannot be read or written.
   */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /**
   * Whether documents that are not in Redis may only be missing until they are restored: also if Redis cannot say.
   * @param kind with an id, whether this may be so of one document: it may have been deleted since.
   */
  async isInDoubt(kind?: string, id?: string): Promise<boolean> {
    try {
      if (!(await this.#isLost())) return false
      return kind === undefined || id === undefined || !(await this.#redis.exists(deletedKey(kind, id)))
    } catch {
      return true
    }
  }

  async #isLost(): Promise<boolean> {
    if (performance.now() - this.#lostAtMs < DOUBT_MS) return true
    if (this.#known === undefined || (await this.#redis.get(MARK)) === this.#known) return false
    this.#lookSoon()
    return true
  }

  readonly #lookSoon = (): void => {
    if (this.#redis.status !== 'ready') return
    this.look().catch((thrown: unknown) =>
      this.#log?.debug({ err: coerceError(thrown) }, 'the memory of Redis could not be looked at'),
    )
  }

  async #look(): Promise<void> {
    const found = (await this.#redis.get(MARK)) ?? (await this.#begin())
    if (found === this.#known || !this.#watch) return
    if (this.#known !== undefined) await this.#restore(this.#watch)
    this.#known = found
    this.#seen = true
    await this.#watch.onKnown?.(found)
  }

  /** Marks an empty Redis. Of several services one does so. @returns the mark that is there now. */
  async #begin(): Promise<string> {
    // What is missing is in doubt before anything is written that could tell others so.
    if (this.#known !== undefined) this.#lostAtMs = performance.now()
    await this.#redis.set(MARK, randomUUID(), 'NX')
    return (await this.#redis.get(MARK)) ?? ''
  }

  async #restore({ restore }: MemoryWatch): Promise<void> {
    this.#lostAtMs = performance.now()
    const noticedAt = new Date().toISOString()
    const outcome = await restore()
    const kinds = Object.entries(outcome.restored).filter(([, count]) => count > 0)
    const written = kinds.map(([kind, count]) => `${count} ${kind}`).join(', ') || 'nothing that was missing'
    if (!this.#seen) {
      this.#log?.info(`another Redis than the last time; written back: ${written}`)
      return
    }
    this.#report = { noticedAt, ...outcome }
    const gone = outcome.notRestored.length > 0 ? `; not restored: ${outcome.notRestored.join('; ')}` : ''
    this.#log?.warn({ ...outcome }, `Redis has lost all that it held; written back: ${written}${gone}`)
  }
}
