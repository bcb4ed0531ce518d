/** This resource's view of the registry: model records and structures, read from Redis once and then from memory. */
import type { ModelId, ShapesKey } from '../../../../shared/contracts/common.ts'
import type { Model, Structure } from '../../../../shared/contracts/model.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import type { Change } from '../../../../shared/platform/redis/changes.ts'
import { findModel, type State, structureId } from '../../../../shared/platform/redis/state.ts'
import type { RangeKey } from '../../ranges/stored-range.ts'
import { StaleWhileRevalidateCache } from '../../../../shared/platform/redis/stale-while-revalidate-cache.ts'

export class Catalog {
  readonly #state: State
  readonly #models: StaleWhileRevalidateCache<Model>
  readonly #structures: StaleWhileRevalidateCache<Structure>
  /** Whether there is a structure: clients ask for shapes that were never analysed. */
  readonly #analysed: StaleWhileRevalidateCache<boolean>
  /** Name → its versions. */
  readonly #versions: StaleWhileRevalidateCache<string[]>

  constructor(state: State) {
    this.#state = state
    this.#models = new StaleWhileRevalidateCache('models', (name) => findModel(state, name))
    this.#structures = new StaleWhileRevalidateCache('structures', (id) => state.structures.need(id))
    this.#analysed = new StaleWhileRevalidateCache('structures', (id) => state.structures.has(id))
    this.#versions = new StaleWhileRevalidateCache('models', async (name) => {
      const numbers = (await this.all()).filter((other) => other.name === name).map(({ version }) => version)
      return [...new Set(numbers)].sort((a, b) => a - b).map(String)
    })
  }

  /** @param name id, name (its highest version) or name@version. @throws ScissionError notFound. */
  async model(name: string, version?: string): Promise<Model> {
    const found = await this.#models.get(name)
    if (version === undefined || String(found.version) === version) return found
    // An id or a name@version means exactly one version; a plain name means the requested one.
    if (found.name === name) return this.#models.get(`${name}@${version}`)
    throw new ScissionError('notFound', `model "${name}" is version ${found.version}, not ${version}`)
  }

  structure(model: ModelId, shapesKey: ShapesKey): Promise<Structure> {
    return this.#structures.get(structureId(model, shapesKey))
  }

  /** Undefined if the model was never analysed for these shapes. */
  async findStructure(model: ModelId, shapesKey: ShapesKey): Promise<Structure | undefined> {
    const analysed = await this.#analysed.get(structureId(model, shapesKey))
    return analysed ? this.structure(model, shapesKey) : undefined
  }

  /** Bytes of the weights of a layer range. */
  async weightBytes({ model, shapesKey, from, to }: RangeKey): Promise<number> {
    const { layers } = await this.structure(model, shapesKey)
    return layers.slice(from, to).reduce((sum, layer) => sum + layer.weightBytes, 0)
  }

  /** All versions registered under the name of `model`, oldest first. */
  versions(model: Model): Promise<string[]> {
    return this.#versions.get(model.name)
  }

  all(): Promise<Model[]> {
    return this.#state.models.all()
  }

  async isRegistered(id: string): Promise<boolean> {
    return (await this.#state.models.get(id)) !== undefined
  }

  onChange(change: Change): void {
    for (const cache of this.#caches()) cache.onChange(change)
  }

  onResync(): void {
    for (const cache of this.#caches()) cache.onResync()
  }

  #caches() {
    return [this.#models, this.#versions, this.#structures, this.#analysed]
  }
}
