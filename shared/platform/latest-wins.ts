/**
 * A keyed slot for things that take time to make: the latest word about a key decides what is held under it. Callers
 * say what they want (`prepare`) or that they want nothing (`release`), in any order and at any moment, also while
 * earlier requests for the same key are still under way.
 *
 *   prepare ──▶ loading ──made──────────────▶ ready ──a later one is ready──▶ retired
 *                  ├──failed──▶ gone            └──released──▶ disposed
 *                  └──released, or a later one is ready──▶ withdrawn: stopped; what it still makes is disposed
 *
 * Four rules hold for every interleaving (test/shared/latest-wins.test.ts):
 *
 * - Nothing is leaked: each value that was made is held, or was retired or disposed, exactly once.
 * - Nothing is lost: what is ready stays until a later value is ready or the key is released. A failure changes nothing.
 * - The last word wins: once all is quiet, a key holds the value of its last `prepare` that succeeded after its last
 *   `release`, and nothing if there is none.
 * - A `release` during a load frees what the load brings, however late.
 *
 * The same wish twice shares one load. The module knows no timer, network or storage.
 */

export interface LatestWinsOptions<Wish, Value> {
  /**
   * Makes what is wished for. The signal is aborted when the result is no longer wanted; a load that heeds it should
   * reject, one that does not may still resolve.
   */
  load: (wish: Wish, signal: AbortSignal) => Promise<Value>
  /** True if what was made for the one serves the other. @defaultValue Object.is */
  same?: (one: Wish, other: Wish) => boolean
  /** Frees a value that is held no more. Must not fail. */
  dispose: (value: Value, wish: Wish) => void | Promise<void>
  /** Takes over a value that a later one replaced, e.g. to dispose of it after a while. @defaultValue `dispose` */
  retire?: (value: Value, wish: Wish) => void | Promise<void>
}

/** Why a `prepare` came to nothing: `released`, or `superseded` by a later one that was ready first. */
export class Withdrawn extends Error {
  override readonly name = 'Withdrawn'
  readonly reason: 'released' | 'superseded'

  constructor(key: string, reason: Withdrawn['reason']) {
    super(`"${key}" was ${reason} while it was being prepared`)
    this.reason = reason
  }
}

interface Entry<Wish, Value> {
  wish: Wish
  /** Grows with every `prepare`; that of the latest one which asked for this. */
  order: number
  made: { value: Value } | undefined
  withdrawn: boolean
  /** What callers wait for. Rejects with `Withdrawn` at once. */
  result: Promise<Value>
  withdraw: (reason: Withdrawn['reason']) => void
  /** Resolves once the load has settled and, if it was withdrawn, its value is disposed. Never rejects. */
  settled: Promise<void>
}

export class LatestWins<Wish, Value> {
  readonly #options: LatestWinsOptions<Wish, Value>
  readonly #same: (one: Wish, other: Wish) => boolean
  /** By key: at most one entry that is ready, any number that load. No key without entries. */
  readonly #slots = new Map<string, Entry<Wish, Value>[]>()
  #order = 0

  constructor(options: LatestWinsOptions<Wish, Value>) {
    this.#options = options
    this.#same = options.same ?? Object.is
  }

  /**
   * Asks for `wish` to be held under the key, and waits until it is. What was ready before stays so until then.
   * @throws Withdrawn, and what `load` throws.
   */
  prepare(key: string, wish: Wish): Promise<Value> {
    this.#order += 1
    const entry = this.#entries(key).find((one) => this.#same(one.wish, wish)) ?? this.#start(key, wish)
    entry.wish = wish
    entry.order = this.#order
    if (entry.made) this.#withdrawOlder(key, entry)
    return entry.result
  }

  /**
   * Lets go of what is held under the key and of what is being loaded for it.
   * @param only limits this to the wishes it says true to. @defaultValue all
   * @returns once everything is freed, the results of stopped loads included.
   */
  async release(key: string, only: (wish: Wish) => boolean = () => true): Promise<void> {
    const released = this.#entries(key).filter(({ wish }) => only(wish))
    for (const entry of released) this.#drop(key, entry)
    await Promise.all(released.map((entry) => this.#free(entry)))
  }

  /** Releases every key. */
  async close(): Promise<void> {
    await Promise.all(this.keys().map((key) => this.release(key)))
  }

  /** What is ready under the key, else what was asked for last. */
  wish(key: string): Wish | undefined {
    return this.#foremost(key)?.wish
  }

  state(key: string): 'loading' | 'ready' | undefined {
    const entry = this.#foremost(key)
    return entry && (entry.made ? 'ready' : 'loading')
  }

  /**
   * The value of a wish that is ready or being loaded; without `matches` that of `wish`.
   * @returns undefined if there is none; the promise rejects as that of `prepare`.
   */
  find(key: string, matches?: (wish: Wish) => boolean): Promise<Value> | undefined {
    const found = matches ? this.#entries(key).find(({ wish }) => matches(wish)) : this.#foremost(key)
    return found?.result
  }

  /** Those with something ready or being loaded. */
  keys(): string[] {
    return [...this.#slots.keys()]
  }

  /** Grows with every `prepare` of the key; 0 if nothing is held. Tells whether one came during an await. */
  latest(key: string): number {
    return Math.max(0, ...this.#entries(key).map(({ order }) => order))
  }

  #entries(key: string): readonly Entry<Wish, Value>[] {
    return this.#slots.get(key) ?? []
  }

  #foremost(key: string): Entry<Wish, Value> | undefined {
    const entries = this.#entries(key)
    return (
      entries.find(({ made }) => made) ??
      entries.reduce<Entry<Wish, Value> | undefined>(
        (last, entry) => (last && last.order > entry.order ? last : entry),
        undefined,
      )
    )
  }

  #start(key: string, wish: Wish): Entry<Wish, Value> {
    const stop = new AbortController()
    let answer = (_value: Value): void => {}
    let refuse = (_reason: unknown): void => {}
    const result = new Promise<Value>((resolve, reject) => {
      answer = resolve
      refuse = reject
    })
    // Its callers hear of a failure; without any, there is nobody to tell.
    result.catch(() => undefined)
    const entry: Entry<Wish, Value> = {
      wish,
      order: this.#order,
      made: undefined,
      withdrawn: false,
      result,
      withdraw: (reason) => {
        entry.withdrawn = true
        refuse(new Withdrawn(key, reason))
        stop.abort()
      },
      settled: Promise.resolve(),
    }
    this.#slots.set(key, [...this.#entries(key), entry])
    entry.settled = this.#load(wish, stop.signal).then(
      async (value) => {
        if (entry.withdrawn) return this.#options.dispose(value, entry.wish)
        this.#replace(key, entry, value)
        answer(value)
      },
      (reason: unknown) => {
        this.#drop(key, entry)
        refuse(reason)
      },
    )
    return entry
  }

  /** A load that throws before its first await fails like any other. */
  async #load(wish: Wish, signal: AbortSignal): Promise<Value> {
    return this.#options.load(wish, signal)
  }

  /** Makes an entry the one that is ready. Later ones that still load may replace it in turn. */
  #replace(key: string, entry: Entry<Wish, Value>, value: Value): void {
    const { dispose, retire = dispose } = this.#options
    const before = this.#entries(key).find(({ made }) => made)
    entry.made = { value }
    if (before?.made) {
      this.#drop(key, before)
      void retire(before.made.value, before.wish)
    }
    this.#withdrawOlder(key, entry)
  }

  #withdrawOlder(key: string, entry: Entry<Wish, Value>): void {
    for (const older of this.#entries(key).filter((one) => !one.made && one.order < entry.order)) {
      this.#drop(key, older)
      older.withdraw('superseded')
    }
  }

  /** Takes an entry out of its slot. */
  #drop(key: string, entry: Entry<Wish, Value>): void {
    const left = this.#entries(key).filter((one) => one !== entry)
    if (left.length > 0) this.#slots.set(key, left)
    else this.#slots.delete(key)
  }

  async #free(entry: Entry<Wish, Value>): Promise<void> {
    if (entry.made) return this.#options.dispose(entry.made.value, entry.wish)
    entry.withdraw('released')
    await entry.settled
  }
}
