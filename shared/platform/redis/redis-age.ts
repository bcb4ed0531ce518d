/**
 * Notices that Redis came back with older data than it had: a snapshot of some minutes ago, an append-only file without its
 * last second, a replica that was behind. Nothing is empty then, and nothing says what is missing.
 *
 * Every write has a number (revision.ts). The first write after a start of Redis, or the first look at it, notes the number
 * with which that start began: a process that knows of a later one knows that it is lost, however many are written meanwhile.
 */
import type { Redis } from 'ioredis'
import { coerceError } from '../errors.ts'
import { formatRevision, NOTE_START, parseRevision, type Revision, REVISION_KEY } from './revision.ts'
import { refusalOf } from './writable.ts'

/** s since the last look: a process that was away for longer may not notice what it lost. */
const KEPT_S = 7 * 24 * 3600

/** KEYS revision; ARGV s. Returns the start, the number with which it began, and the revision. */
const LOOK = `
${NOTE_START}
local began = '0'
if start ~= '' then
  redis.call('expire', noted, ARGV[1])
  began = redis.call('get', noted)
end
return { start, began, redis.call('hget', KEYS[1], 'epoch') or '', redis.call('hget', KEYS[1], 'number') or '' }`

/** What Redis has at one moment. */
interface Found {
  /** Tells one start of Redis from another; '' if it does not tell. */
  start: string
  beganAt: number
  now: Revision | undefined
}

export class RedisAge {
  readonly #redis: Redis
  /** Start of Redis that was last looked at. */
  #start = ''
  /** Newest write that is known to have happened, and the one known when the last connection ended. */
  #newest: Revision | undefined
  #before: Revision | undefined
  #isConnected: boolean

  constructor(redis: Redis) {
    this.#redis = redis
    this.#isConnected = redis.status === 'ready'
    redis.on('ready', () => {
      this.#isConnected = true
    })
    // Another connection may hear of writes after the next start before this one is back. Attempts end with `close` too.
    redis.on('close', () => {
      if (this.#isConnected) this.#before = this.#newest
      this.#isConnected = false
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
    const found = await this.#find()
    // Redis takes no writes now: what it has is looked at when it does.
    if (!found) return
    const { start, beganAt, now } = found
    const isOtherStart = this.#start !== '' && start !== '' && start !== this.#start
    const isLess = (known: Revision | undefined, number: number) =>
      known !== undefined && known.epoch === now?.epoch && number < known.number
    if (isLess(newest, now?.number ?? 0) || (isOtherStart && isLess(this.#before, beganAt))) {
      await onOlder()
      this.#newest = undefined
    } else if (now) this.heard(now)
    this.#start = start
  }

  /** @returns undefined if the start cannot be noted. */
  async #find(): Promise<Found | undefined> {
    try {
      const told = await this.#redis.eval(LOOK, 1, REVISION_KEY, KEPT_S)
      const [start = '', began = '', epoch = '', number = ''] = told as string[]
      return { start, beganAt: Number(began), now: parseRevision(`${epoch}.${number}`) }
    } catch (thrown) {
      if (refusalOf(coerceError(thrown)) === undefined) throw thrown
      return undefined
    }
  }
}
