/**
 * Caches reads of Redis on the request path. While nothing has changed they are answered from memory; while Redis is
 * away they are answered with the last known value, because serving a loaded model does not need Redis.
 */
import { LRUCache } from 'lru-cache'
import type { Change } from './changes.ts'
import type { RedisMemory } from './redis-memory.ts'
import { ScissionError } from '../errors.ts'
import { waitAtMost } from '../deadline.ts'

interface Entry<T> {
  value: T
  /** `changed`: the next read replaces the value. `unsure` (Redis was away): an empty read does not remove it. */
  state: 'fresh' | 'changed' | 'unsure'
}

/** Keys come from clients: a flood of invented ones must not grow memory. */
const MAX_ENTRIES = 10_000

/** Longest wait for Redis, which answers in milliseconds or not at all. */
const PATIENCE_MS = 1000

export class StaleWhileRevalidateCache<T> {
  readonly #kind: string
  readonly #entries = new LRUCache<string, Entry<T>>({ max: MAX_ENTRIES })
  readonly #read: (key: string) => Promise<T>
  readonly #memory: Pick<RedisMemory, 'isInDoubt'> | undefined
  #generation = 0

  /**
   * @param kind of the collection that `read` reads.
   * @param read throws ScissionError notFound if there is no such document, or returns undefined or false.
   * @param memory says whether what is missing may only have been lost with all that Redis held: then the last known value
   *   stays.
   */
  constructor(kind: string, read: (key: string) => Promise<T>, memory?: Pick<RedisMemory, 'isInDoubt'>) {
    this.#kind = kind
    this.#read = read
    this.#memory = memory
  }

  /** @throws the error of `read` if no value is known. */
  async get(key: string): Promise<T> {
    const entry = this.#entries.get(key)
    if (entry?.state === 'fresh') return entry.value
    const reading = this.#readNow(key, entry)
    if (!entry) return reading
    // A hanging connection must not delay a request that can be answered.
    return waitAtMost(reading, PATIENCE_MS, entry.value)
  }

  async #readNow(key: string, entry: Entry<T> | undefined): Promise<T> {
    const generation = this.#generation
    try {
      const value = await this.#read(key)
      if (
        isNothing(value) &&
        entry &&
        !isNothing(entry.value) &&
        (await this.#memory?.isInDoubt(this.#kind, key))
      )
        return entry.value
      // A change during the read may or may not be in the value.
      this.#entries.set(key, { value, state: generation === this.#generation ? 'fresh' : 'changed' })
      return value
    } catch (error) {
      const gone = error instanceof ScissionError && error.code === 'notFound'
      const deleted = gone && entry?.state === 'changed' && !(await this.#memory?.isInDoubt(this.#kind, key))
      if (!entry || deleted) {
        this.#entries.delete(key)
        throw error
      }
      return entry.value
    }
  }

  /** The last known value at once; one that may be old is read again in the background. For values that every request needs. */
  async getSoon(key: string): Promise<T> {
    const entry = this.#entries.get(key)
    if (!entry) return this.get(key)
    // A failure surfaces at the next request for which no value is known.
    if (entry.state !== 'fresh') this.get(key).catch(() => undefined)
    return entry.value
  }

  onChange(change: Change): void {
    if (change.kind === this.#kind) this.#mark('changed')
  }

  onResync(): void {
    this.#mark('unsure')
  }

  #mark(state: 'changed' | 'unsure'): void {
    this.#generation += 1
    for (const entry of this.#entries.values()) {
      if (entry.state !== 'changed') entry.state = state
    }
  }
}

const isNothing = (value: unknown): boolean => value === undefined || value === false
