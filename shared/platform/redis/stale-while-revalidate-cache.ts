/**
 * Reads of Redis on the request path: answered from memory while nothing has changed, and with what was last known
 * while Redis is away, because serving what is loaded does not need Redis.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Change } from './changes.ts'
import { ScissionError } from '../errors.ts'

interface Entry<T> {
  value: T
  /** `changed`: read again and believe the answer. `unsure` (Redis was away): an empty answer proves nothing. */
  state: 'fresh' | 'changed' | 'unsure'
}

/** Names come from clients: a flood of made-up ones must not grow memory. */
const MAX_ENTRIES = 10_000

/** Redis answers in milliseconds, or not at all. */
const PATIENCE_MS = 1000

export class LastKnown<T> {
  readonly #kind: string
  readonly #entries = new Map<string, Entry<T>>()
  readonly #read: (key: string) => Promise<T>
  #generation = 0

  /** @param read throws ScissionError notFound when there is none. @param kind of the collection it reads. */
  constructor(kind: string, read: (key: string) => Promise<T>) {
    this.#kind = kind
    this.#read = read
  }

  /** @throws what `read` throws, when nothing is known to go on with. */
  async get(key: string): Promise<T> {
    const entry = this.#entries.get(key)
    if (entry?.state === 'fresh') return entry.value
    const reading = this.#readNow(key, entry)
    if (!entry) return reading
    // A connection that hangs must not hold up a request that can be answered.
    return Promise.race([reading, sleep(PATIENCE_MS, entry.value, { ref: false })])
  }

  async #readNow(key: string, entry: Entry<T> | undefined): Promise<T> {
    const generation = this.#generation
    try {
      const value = await this.#read(key)
      if (this.#entries.size >= MAX_ENTRIES) this.#entries.clear()
      // What changed while it was being read may or may not be in it.
      this.#entries.set(key, { value, state: generation === this.#generation ? 'fresh' : 'changed' })
      return value
    } catch (error) {
      const gone = error instanceof ScissionError && error.code === 'notFound'
      if (!entry || (gone && entry.state === 'changed')) {
        this.#entries.delete(key)
        throw error
      }
      return entry.value
    }
  }

  /** The last known value at once, read again behind the scenes when it may be old; for what every request needs. */
  async getSoon(key: string): Promise<T> {
    const entry = this.#entries.get(key)
    if (!entry) return this.get(key)
    // A failure shows at the next request that has no last known value to go on with.
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
