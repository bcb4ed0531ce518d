/** The structures asked for last, bounded by their layers: the rest of them stay in Redis. */
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Collection } from '../../../shared/platform/redis/collection.ts'
import { keepStructure } from './planning-fields.ts'

/** About 24 MB: a layer with its boundary takes some 400 bytes. */
const MOST_LAYERS = 60_000

export class Structures {
  readonly #collection: Collection<Structure>
  /** Least recently used first. */
  readonly #known = new Map<string, Structure>()
  #layers = 0

  constructor(collection: Collection<Structure>) {
    this.#collection = collection
  }

  /** The one in memory. */
  peek(id: string): Structure | undefined {
    return this.#known.get(id)
  }

  /** A structure is written once; it is read when first asked for. @throws ScissionError notFound. */
  async get(id: string): Promise<Structure> {
    const known = this.#known.get(id)
    if (known) {
      this.#known.delete(id)
      this.#known.set(id, known)
      return known
    }
    const structure = keepStructure(await this.#collection.need(id))
    this.forget(id)
    this.#known.set(id, structure)
    this.#layers += structure.layers.length
    for (const oldest of this.#known.keys()) {
      if (this.#layers <= MOST_LAYERS || oldest === id) break
      this.forget(oldest)
    }
    return structure
  }

  forget(id: string): void {
    const known = this.#known.get(id)
    if (known && this.#known.delete(id)) this.#layers -= known.layers.length
  }

  clear(): void {
    this.#known.clear()
    this.#layers = 0
  }
}
