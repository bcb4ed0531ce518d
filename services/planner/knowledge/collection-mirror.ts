/**
 * A copy of one Redis collection in memory. An announcement only says that a document changed; the document itself is
 * always read again, so an announcement that arrives late or twice does no harm.
 */
import type { ScissionError } from '../../../shared/platform/errors.ts'
import type { Collection } from '../../../shared/platform/redis/collection.ts'

export interface CollectionMirrorOptions<T> {
  /** Converts a document to the form in which it is kept. */
  keep?: (document: T) => T
  /** True if the change from `before` to `after` cannot affect any plan. */
  same?: (before: T, after: T) => boolean
  /** Called after every change that can affect a plan. */
  onChange?: () => void
  /** Called for a document that this version cannot read, which is left out. */
  onUnreadable: (error: ScissionError) => void
}

export class CollectionMirror<T> {
  readonly items = new Map<string, T>()
  readonly #collection: Collection<T>
  readonly #options: CollectionMirrorOptions<T>

  constructor(collection: Collection<T>, options: CollectionMirrorOptions<T>) {
    this.#collection = collection
    this.#options = options
  }

  get kind(): string {
    return this.#collection.kind
  }

  /**
   * Reads the whole collection again. Meanwhile some items may be outdated, but none is missing.
   * @param keepMissing true while items that are not there may only not be written back yet to a Redis that has lost them.
   */
  async reload(keepMissing = false): Promise<void> {
    const ids = await this.#collection.ids()
    for await (const [id, document] of this.#collection.some(ids, this.#options.onUnreadable)) {
      this.#set(id, document)
    }
    if (keepMissing) return
    const known = new Set(ids)
    for (const id of this.items.keys()) if (!known.has(id)) this.#remove(id)
  }

  /** Reads documents again, and removes here those that are gone. */
  async refresh(ids: readonly string[]): Promise<void> {
    const gone = new Set(ids)
    for await (const [id, document] of this.#collection.some(ids, this.#options.onUnreadable)) {
      gone.delete(id)
      this.#set(id, document)
    }
    for (const id of gone) this.#remove(id)
  }

  #set(id: string, document: T): void {
    const before = this.items.get(id)
    const value = this.#options.keep?.(document) ?? document
    this.items.set(id, value)
    if (before !== undefined && this.#options.same?.(before, value)) return
    this.#options.onChange?.()
  }

  #remove(id: string): void {
    if (this.items.delete(id)) this.#options.onChange?.()
  }
}
