/**
 * Keyed slots whose values take time to load, where the last word wins. Callers say which version they want under a key
 * (`set`) or that they want none (`release`), in any order and at any moment, also while earlier loads are under way.
 *
 *   set ──▶ loading ──loaded───────────────▶ current ──a later version is loaded──▶ handed to `retire`
 *              ├──failed──▶ gone                └──released──▶ handed to `free`
 *              └──released, or a later version is loaded──▶ stopped; what it still brings is handed to `free`
 *
 * Four rules hold for every interleaving (test/shared/latest-wins.test.ts):
 *
 * - Nothing is leaked: every value that was loaded is current, or was handed to `retire` or `free` exactly once.
 * - Nothing is lost: a current value stays until a later version is loaded or the key is released. A failure changes
 *   nothing.
 * - The last word wins: once all is quiet, a key has the version of its last `set` that was loaded, of those since its
 *   last `release`, or none.
 * - A `release` during a load frees what the load brings, however late.
 *
 * It replaces "look whether there is a value, await the load, store it": with two callers between the look and the store
 * that loses one value and never frees it. The module knows no timer, network or storage.
 */
import { ScissionError } from './errors.ts'

export interface LatestWinsOptions<T> {
  /** Receives a value that a later version replaced; its users may still finish. Must not fail. */
  retire: (key: string, version: string, value: T) => void | Promise<void>
  /** Receives a value that was released, or that never became current. Must not fail. */
  free: (value: T) => void | Promise<void>
}

/** A version that is current or being loaded. */
export interface Known<T, A> {
  readonly version: string
  /** As given by the last `set` of this version. */
  readonly about: A
  readonly state: 'loading' | 'ready'
  /** As the promise of `set`. */
  readonly value: Promise<T>
}

interface Entry<T, A> extends Known<T, A> {
  about: A
  state: Known<T, A>['state']
  /** Grows with every `set` and decides between versions; that of the last `set` of this one. */
  order: number
  /** Set once it is loaded. */
  loaded: { value: T } | undefined
  /** Aborted when its value is wanted no more, with the error for its callers. */
  stop: AbortController
  /** Resolves once the load has ended and, if it was withdrawn, its value was freed. */
  ended: Promise<void>
}

export class LatestWins<T, A = undefined> {
  readonly #options: LatestWinsOptions<T>
  /** By key: at most one entry that is ready, any number that are loading. No key without entries. */
  readonly #slots = new Map<string, readonly Entry<T, A>[]>()
  #order = 0

  constructor(options: LatestWinsOptions<T>) {
    this.#options = options
  }

  /**
   * Makes `version` the wanted one of the key, and waits until it is loaded. The same version again shares one load.
   * @param about facts about this version that are known before it is loaded.
   * @param load its signal is aborted when the value is wanted no more: then it should reject, and may still resolve.
   * @throws ScissionError conflict at once if the key is released, or a later version is loaded, before this one is; else
   *   what `load` throws.
   */
  set(key: string, version: string, about: A, load: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#order += 1
    const known = this.#entries(key).find((entry) => entry.version === version)
    const entry = known ?? this.#start(key, version, about, load)
    entry.about = about
    entry.order = this.#order
    if (entry.loaded) this.#withdrawEarlier(key, entry)
    return entry.value
  }

  /** The current version of the key; if there is none yet, the one that was wanted last. */
  latest(key: string): Known<T, A> | undefined {
    const entries = this.#entries(key)
    return entries.find(({ loaded }) => loaded) ?? entries.toSorted((a, b) => b.order - a.order)[0]
  }

  /** A version of the key that is current or being loaded. */
  find(key: string, version: string): Promise<T> | undefined {
    return this.#entries(key).find((entry) => entry.version === version)?.value
  }

  /** Those with a version that is current or being loaded. */
  keys(): string[] {
    return [...this.#slots.keys()]
  }

  /** Grows with every `set` of the key; 0 if it has no version. Tells after an await whether one came meanwhile. */
  order(key: string): number {
    return Math.max(0, ...this.#entries(key).map(({ order }) => order))
  }

  /**
   * Frees the current value, stops what is being loaded, and frees what that still brings. Unknown keys are ignored.
   * @param only limits this to some versions. @defaultValue all
   * @returns a promise that resolves once all of them were handed to `free`, or their loads failed.
   */
  async release(key: string, only: (about: A) => boolean = () => true): Promise<void> {
    const released = this.#entries(key).filter(({ about }) => only(about))
    for (const entry of released) this.#drop(key, entry)
    await Promise.all(
      released.map(async (entry) => {
        if (entry.loaded) return await this.#options.free(entry.loaded.value)
        withdraw(key, entry, 'released')
        return await entry.ended
      }),
    )
  }

  #entries(key: string): readonly Entry<T, A>[] {
    return this.#slots.get(key) ?? []
  }

  #start(key: string, version: string, about: A, load: (signal: AbortSignal) => Promise<T>): Entry<T, A> {
    const stop = new AbortController()
    const { signal } = stop
    const withdrawn = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
    // A load that throws before its first await fails like any other.
    const loading = (async () => load(signal))()
    const ended = loading.then(
      (value) => (signal.aborted ? this.#options.free(value) : this.#makeCurrent(key, entry, value)),
      () => this.#drop(key, entry),
    )
    const value = Promise.race([ended.then(() => loading), withdrawn])
    // Those who wait for it hear of a failure; it is no fault that nobody waits.
    value.catch(() => undefined)
    const entry: Entry<T, A> = {
      version,
      about,
      state: 'loading',
      value,
      order: this.#order,
      loaded: undefined,
      stop,
      ended,
    }
    this.#slots.set(key, [...this.#entries(key), entry])
    return entry
  }

  /** Later versions that are still loading may replace it in turn. */
  #makeCurrent(key: string, entry: Entry<T, A>, value: T): void {
    const before = this.#entries(key).find(({ loaded }) => loaded)
    entry.loaded = { value }
    entry.state = 'ready'
    if (before?.loaded) {
      this.#drop(key, before)
      void this.#options.retire(key, before.version, before.loaded.value)
    }
    this.#withdrawEarlier(key, entry)
  }

  #withdrawEarlier(key: string, { order, version }: Entry<T, A>): void {
    for (const earlier of this.#entries(key).filter((one) => !one.loaded && one.order < order)) {
      this.#drop(key, earlier)
      withdraw(key, earlier, `replaced by ${version}`)
    }
  }

  #drop(key: string, entry: Entry<T, A>): void {
    const left = this.#entries(key).filter((one) => one !== entry)
    if (left.length > 0) this.#slots.set(key, left)
    else this.#slots.delete(key)
  }
}

/** Ends the waiting of its callers with a conflict and stops the load. */
function withdraw<T, A>(key: string, { stop }: Entry<T, A>, why: string): void {
  stop.abort(new ScissionError('conflict', `${key} was ${why} while it was being loaded`, { key }))
}
