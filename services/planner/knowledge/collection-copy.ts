/**
 * A copy of one collection in memory. Reading, not receiving, keeps it true: an
 * announcement only says that a document changed, so one that comes late or twice does no harm.
 */
import type { ScissionError } from '../../../shared/platform/errors.ts'
import type { Collection } from '../../../shared/platform/redis/collection.ts'

export interface CopyOptions<T> {
  /** The form in which a document is kept. */
  keep?: (document: T) => T
  /** True when the change from one to the other makes no difference to any plan. */
  same?: (before: T, after: T) => boolean
  /** Called after every change that makes a difference. */
  onChange?: () => void
  /** A document that this version cannot read is left out. */
  onOdd: (error: ScissionError) => void
}

export class Copy<T> {
  readonly items = new Map<string, T>()
  readonly #collection: Collection<T>
  readonly #options: CopyOptions<T>

  constructor(collection: Collection<T>, options: CopyOptions<T>) {
    this.#collection = collection
    this.#options = options
  }

  get kind(): string {
    return this.#collection.kind
  }

  /** Reads everything again. Until it is done the copy is partly old, never partly missing. */
  async reload(): Promise<void> {
    const ids = await this.#collection.ids()
    for await (const [id, document] of this.#collection.some(ids, this.#options.onOdd)) {
      this.#set(id, document)
    }
    const known = new Set(ids)
    for (const id of this.items.keys()) if (!known.has(id)) this.#remove(id)
  }

  /** Reads one document again. */
  async refresh(id: string): Promise<void> {
    for await (const [, document] of this.#collection.some([id], this.#options.onOdd)) {
      this.#set(id, document)
      return
    }
    this.#remove(id)
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
