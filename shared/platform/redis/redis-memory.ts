/**
 * Notices that Redis has lost all that it held (a restart without persistence, FLUSHALL), or what it was told last (a restart
 * with older data), and has each service write back what it knows. A mark in Redis tells one memory from the next: a service
 * that finds no mark, or another one than it knew, restores. Who notices that the data are older sets another mark.
 *
 *   unknown ──first look──▶ known ──the mark is gone or another one──▶ lost: restore ──done──▶ known
 *                                                                          └── failed: at the next look again
 *
 * Restoring writes only what is missing or older (`Collection.restore`), so several services may do so at once.
 */
import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { coerceError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { RedisAge } from './redis-age.ts'
import { newEpoch, parseRevision, REVISION_KEY } from './revision.ts'

const MARK = 'scission:memory'
/** Begins the marks of memories that came back with older data. */
const OLDER = 'older-'
const NOT_TAKEN_BACK =
  'what was deleted or changed after the data with which Redis came back may be as it was then'

/**
 * KEYS mark, revision; ARGV the known mark, another one, another epoch: what was numbered before no longer holds. Of several
 * services one does so.
 */
const MARK_OLDER = `
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2])
redis.call('hset', KEYS[2], 'epoch', ARGV[3])
return 1`

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
  /** What `note` was in an earlier run of this service. */
  known?: string | undefined
  /** Told the `note` once this service has what is in that memory, and it has what this service knew. */
  onKnown?: ((note: string) => Promise<void>) | undefined
}

export class RedisMemory {
  readonly #redis: Redis
  readonly #log: Logger | undefined
  readonly #age: RedisAge
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
    this.#age = new RedisAge(redis)
  }

  /** Begins to look after Redis. */
  watch(watch: MemoryWatch): void {
    this.#watch = watch
    const [mark, ...age] = watch.known?.split(' ') ?? []
    this.#known = mark
    this.#age.remembered(age.join(' '))
    this.#redis.on('ready', this.#lookSoon)
    this.#timer = setInterval(this.#lookSoon, watch.everyMs).unref()
    if (this.#redis.status === 'ready') this.#lookSoon()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#redis.off('ready', this.#lookSoon)
  }

  /** Tells of a write that has happened. @param revision as its announcement names it. */
  heard(revision: string): void {
    const parsed = parseRevision(revision)
    if (parsed) this.#age.heard(parsed)
  }

  /** What is known of the memory, for a later run of this service; undefined before it was looked at. */
  get note(): string | undefined {
    return this.#known === undefined ? undefined : `${this.#known} ${this.#age.note}`.trim()
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
    await this.#age.look(() => this.#beginOlder())
    const found = (await this.#redis.get(MARK)) ?? (await this.#begin())
    if (found === this.#known || !this.#watch) return
    if (this.#known !== undefined) await this.#restore(this.#watch, found.startsWith(OLDER))
    this.#known = found
    this.#seen = true
    await this.#watch.onKnown?.(this.note ?? '')
  }

  /** Marks a Redis that came back with older data. */
  async #beginOlder(): Promise<void> {
    this.#lostAtMs = performance.now()
    const mark = `${OLDER}${randomUUID()}`
    await this.#redis.eval(MARK_OLDER, 2, MARK, REVISION_KEY, this.#known ?? '', mark, newEpoch())
  }

  /** Marks an empty Redis. Of several services one does so. @returns the mark that is there now. */
  async #begin(): Promise<string> {
    // What is missing is in doubt before anything is written that could tell others so.
    if (this.#known !== undefined) this.#lostAtMs = performance.now()
    await this.#redis.set(MARK, randomUUID(), 'NX')
    return (await this.#redis.get(MARK)) ?? ''
  }

  async #restore({ restore }: MemoryWatch, isOlder: boolean): Promise<void> {
    this.#lostAtMs = performance.now()
    const noticedAt = new Date().toISOString()
    const { restored, notRestored } = await restore()
    const outcome = { restored, notRestored: isOlder ? [NOT_TAKEN_BACK, ...notRestored] : notRestored }
    const kinds = Object.entries(outcome.restored).filter(([, count]) => count > 0)
    const written = kinds.map(([kind, count]) => `${count} ${kind}`).join(', ') || 'nothing that was missing'
    if (!this.#seen && !isOlder) {
      this.#log?.info(`another Redis than the last time; written back: ${written}`)
      return
    }
    this.#report = { noticedAt, ...outcome }
    const gone = outcome.notRestored.length > 0 ? `; not restored: ${outcome.notRestored.join('; ')}` : ''
    const what = isOlder ? 'Redis came back with older data than it had' : 'Redis has lost all that it held'
    this.#log?.warn({ ...outcome }, `${what}; written back: ${written}${gone}`)
  }
}
