/**
 * Keyed slots whose values are loaded asynchronously, where the last word wins: of all loads of a key since its last
 * release, the newest one that succeeds becomes the current value.
 *
 *   set(v1) ─ loading ─▶ current ──────────── replaced ─▶ retired
 *   set(v2) ───────── loading ───▶ current
 *   set(v3) ─ loading ─▶ fails: v2 or v1 stays or becomes current
 *   release ─▶ the current value is freed, and every value that is still loading is freed when its load ends
 *
 * It replaces "look whether there is a value, await the load, then store it": with two callers between the look and the
 * store, that pattern loses one value and never frees it. Here every loaded value is current, or handed to `retire` or
 * `free` exactly once.
 */
import { ScissionError } from './errors.ts'

class Entry<T, A> {
  readonly version: string
  /** Known from the start, before the value is loaded. */
  readonly about: A
  /** Increases with every `set` and decides between loads. */
  order: number
  state: 'loading' | 'ready' = 'loading'
  /** Assigned as soon as the load was started. */
  value!: Promise<T>

  constructor(version: string, about: A, order: number) {
    this.version = version
    this.about = about
    this.order = order
  }
}

export interface LatestWinsOptions<T> {
  /** Receives a value that a newer one replaced. Users of the old value may still finish. */
  retire: (key: string, version: string, value: T) => void
  /** Receives a value that never became current, or that was released. */
  free: (value: T) => void
}

export class LatestWins<T, A = undefined> {
  readonly #options: LatestWinsOptions<T>
  /** Key → at most one ready entry and any number of loading ones. */
  readonly #entries = new Map<string, Entry<T, A>[]>()
  #order = 0

  constructor(options: LatestWinsOptions<T>) {
    this.#options = options
  }

  /**
   * Makes `version` the wanted one of the key. It is loaded unless it is current or being loaded.
   * @param about facts about this version that are known before it is loaded.
   * @returns the loaded value. @throws what `load` throws; ScissionError conflict if the key was released, or a newer
   * version became current, before the load ended.
   */
  async set(key: string, version: string, about: A, load: () => Promise<T>): Promise<T> {
    this.#order += 1
    const entries = this.#entries.get(key) ?? []
    this.#entries.set(key, entries)
    const known = entries.find((entry) => entry.version === version)
    if (known) {
      known.order = this.#order
      return await known.value
    }
    const entry = new Entry<T, A>(version, about, this.#order)
    entries.push(entry)
    entry.value = this.#loadInto(key, entries, entry, load)
    return await entry.value
  }

  /** The current version of the key; if there is none yet, the newest that is being loaded. */
  latest(key: string): Readonly<Entry<T, A>> | undefined {
    const entries = this.#entries.get(key) ?? []
    return entries.find(({ state }) => state === 'ready') ?? entries.toSorted((a, b) => b.order - a.order)[0]
  }

  /** A version of the key that is current or being loaded. */
  find(key: string, version: string): Promise<T> | undefined {
    return this.#entries.get(key)?.find((entry) => entry.version === version)?.value
  }

  keys(): string[] {
    return [...this.#entries.keys()]
  }

  /**
   * Frees the current value, and every value of the key that is being loaded as soon as its load ends. Unknown keys are
   * ignored. @returns a promise that resolves after all of them were handed to `free`.
   */
  async release(key: string): Promise<void> {
    const entries = this.#entries.get(key) ?? []
    this.#entries.delete(key)
    for (const { state, value } of entries)
      if (state === 'ready') value.then(this.#options.free, () => undefined)
    await Promise.allSettled(entries.map(({ value }) => value))
  }

  async #loadInto(
    key: string,
    entries: Entry<T, A>[],
    entry: Entry<T, A>,
    load: () => Promise<T>,
  ): Promise<T> {
    let value: T
    try {
      value = await load()
    } catch (error) {
      this.#remove(key, entries, entry)
      throw error
    }
    if (this.#entries.get(key) !== entries) {
      this.#options.free(value)
      throw new ScissionError('conflict', `${key} was released while it was being loaded`, { key })
    }
    const current = entries.find(({ state }) => state === 'ready')
    if (current && current.order > entry.order) {
      this.#remove(key, entries, entry)
      this.#options.free(value)
      throw new ScissionError(
        'conflict',
        `${key} was replaced by ${current.version} while it was being loaded`,
        {
          key,
          version: current.version,
        },
      )
    }
    entry.state = 'ready'
    if (current) {
      this.#remove(key, entries, current)
      current.value.then(
        (old) => this.#options.retire(key, current.version, old),
        () => undefined,
      )
    }
    return value
  }

  #remove(key: string, entries: Entry<T, A>[], entry: Entry<T, A>): void {
    const place = entries.indexOf(entry)
    if (place >= 0) entries.splice(place, 1)
    if (entries.length === 0 && this.#entries.get(key) === entries) this.#entries.delete(key)
  }
}
