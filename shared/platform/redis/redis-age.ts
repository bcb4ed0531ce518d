/**
 * Notices that Redis came back with older data than it had: a snapshot of some minutes ago, an append-only file without its
 * last second, a replica that was behind. Nothing is empty then, and nothing says what is missing.
 *
 * Every write has a number (revision.ts). Whoever looks first after a start of Redis notes the number with which that start
 * began: a process that knows of a later one knows that it is lost, however many are written meanwhile.
 */
import type { Redis } from 'ioredis'
import { coerceError } from '../errors.ts'
import { formatRevision, parseRevision, readRevision, type Revision, REVISION_KEY } from './revision.ts'
import { refusalOf } from './writable.ts'

/** Hash: `id` of a start of Redis, and the `number` of the last write that it had then. */
const START_KEY = 'scission:redis-start'

/** KEYS start, revision; ARGV id. Returns the number with which that start began. */
const BEGAN_AT = `
if redis.call('hget', KEYS[1], 'id') ~= ARGV[1] then
  redis.call('hset', KEYS[1], 'id', ARGV[1], 'number', redis.call('hget', KEYS[2], 'number') or '0')
end
return redis.call('hget', KEYS[1], 'number')`

export class RedisAge {
  readonly #redis: Redis
  /** Start of Redis that was last looked at; '' if it does not tell. */
  #start = ''
  /** The same of this connection; undefined until it was asked. */
  #startNow: string | undefined
  /** Newest write that is known to have happened, and the one known when this connection began. */
  #newest: Revision | undefined
  #before: Revision | undefined

  constructor(redis: Redis) {
    this.#redis = redis
    redis.on('ready', () => {
      this.#startNow = undefined
      this.#before = this.#newest
    })
  }

  /** A write that has happened. */
  heard(revision: Revision): void {
    const known = this.#newest
    if (known?.epoch !== revision.epoch || known.number < revision.number) this.#newest = revision
  }

  /** What is known, as a text without spaces at its ends, for `remembered` of a later process. */
  get note(): string {
    return this.#newest ? `${this.#start} ${formatRevision(this.#newest)}` : ''
  }

  /** Takes what an earlier process of this service knew. Anything that is no note is ignored. */
  remembered(note: string): void {
    const [start = '', revision = ''] = note.split(' ')
    const newest = parseRevision(revision)
    if (!newest) return
    this.#start = start
    this.#newest = newest
    this.#before = newest
  }

  /**
   * Looks at what Redis has. @param onOlder called if that is older than what it had; if it throws, the next look finds the
   * same. @throws what Redis answers.
   */
  async look(onOlder: () => Promise<void>): Promise<void> {
    const newest = this.#newest
    const start = (this.#startNow ??= await this.#askStart())
    const now = await readRevision(this.#redis)
    const isOtherStart = this.#start !== '' && start !== '' && start !== this.#start
    const beganAt = await this.#beganAt(start)
    // Redis takes no writes now: what it has is looked at when it does.
    if (beganAt === undefined) return
    const isLess = (known: Revision | undefined, number: number) =>
      known !== undefined && known.epoch === now?.epoch && number < known.number
    if (isLess(newest, now?.number ?? 0) || (isOtherStart && isLess(this.#before, beganAt))) {
      await onOlder()
      this.#newest = undefined
    } else if (now) this.heard(now)
    this.#start = start
  }

  /** @returns '' if Redis does not tell: the emulated one, or one that refuses to. */
  async #askStart(): Promise<string> {
    try {
      return /^run_id:([0-9a-f]+)/m.exec(await this.#redis.info('server'))?.[1] ?? ''
    } catch (thrown) {
      if (coerceError(thrown).name === 'ReplyError') return ''
      throw thrown
    }
  }

  /** @returns undefined if it cannot be noted. */
  async #beganAt(start: string): Promise<number | undefined> {
    if (start === '') return 0
    try {
      return Number(await this.#redis.eval(BEGAN_AT, 2, START_KEY, REVISION_KEY, start))
    } catch (thrown) {
      if (refusalOf(coerceError(thrown)) === undefined) throw thrown
      return undefined
    }
  }
}
