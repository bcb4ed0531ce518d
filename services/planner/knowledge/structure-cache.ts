/** Structures of models, read from Redis at first use. The most recently used ones stay in memory, bounded by layers. */
import type { Collection } from '../../../shared/platform/redis/collection.ts'
import { LRUCache } from 'lru-cache'
import type { Structure } from '../../../shared/contracts/model.ts'
import { planningStructure } from './mirrored-documents.ts'

/** About 24 MB: one layer with its boundary takes about 400 bytes. */
const MAX_LAYER_COUNT = 60_000

export class StructureCache {
  readonly #collection: Collection<Structure>
  readonly #known = new LRUCache<string, Structure>({
    maxSize: MAX_LAYER_COUNT,
    // A structure beyond the limit is kept alone: without it every query would read it from Redis again.
    sizeCalculation: ({ layers }) => Math.min(MAX_LAYER_COUNT, Math.max(1, layers.length)),
  })

  constructor(collection: Collection<Structure>) {
    this.#collection = collection
  }

  /** A structure never changes once it is written. @throws ScissionError notFound. */
  async get(id: string): Promise<Structure> {
    const known = this.#known.get(id)
    if (known) return known
    const structure = planningStructure(await this.#collection.need(id))
    this.#known.set(id, structure)
    return structure
  }

  forget(id: string): void {
    this.#known.delete(id)
  }

  clear(): void {
    this.#known.clear()
  }
}
