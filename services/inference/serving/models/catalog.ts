/** This resource's view of the registry: model records and structures, read from Redis once and then from memory. */
import type { ModelId, ShapesKey } from '../../../../shared/contracts/common.ts'
import { type NamedModel, versionsOf } from '../../../../shared/contracts/model-names.ts'
import type { Model, Structure } from '../../../../shared/contracts/model.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import type { Change } from '../../../../shared/platform/redis/changes.ts'
import { findNamed, type State, structureId } from '../../../../shared/platform/redis/state.ts'
import type { RangeKey } from '../../ranges/stored-range.ts'
import { StaleWhileRevalidateCache } from '../../../../shared/platform/redis/stale-while-revalidate-cache.ts'

export class Catalog {
  readonly #state: State
  readonly #models: StaleWhileRevalidateCache<NamedModel>
  readonly #structures: StaleWhileRevalidateCache<Structure>
  /** Whether there is a structure: clients ask for shapes that were never analysed. */
  readonly #analysed: StaleWhileRevalidateCache<boolean>
  /** Name → its versions. */
  readonly #versions: StaleWhileRevalidateCache<string[]>

  constructor(state: State) {
    this.#state = state
    this.#models = new StaleWhileRevalidateCache(
      'models',
      (reference) => findNamed(state, reference),
      state.memory,
    )
    this.#structures = new StaleWhileRevalidateCache(
      'structures',
      (id) => state.structures.need(id),
      state.memory,
    )
    this.#analysed = new StaleWhileRevalidateCache(
      'structures',
      (id) => state.structures.has(id),
      state.memory,
    )
    this.#versions = new StaleWhileRevalidateCache(
      'models',
      async (name) => versionsOf(await this.all(), name).map(String),
      state.memory,
    )
  }

  /**
   * @param reference id, name (its highest version) or name@version.
   * @param version in the address, which an id or a name@version must not contradict.
   * @throws ScissionError notFound.
   */
  async named(reference: string, version?: string): Promise<NamedModel> {
    const found = await this.#models.get(reference)
    if (version === undefined || String(found.version) === version) return found
    if (isPlainName(found, reference)) return this.#models.get(`${reference}@${version}`)
    throw new ScissionError('notFound', `model "${reference}" is version ${found.version}, not ${version}`)
  }

  /** The same without the name. @throws ScissionError notFound. */
  async model(reference: string): Promise<Model> {
    return (await this.named(reference)).model
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

  /** The versions that an address may name beside `reference`, lowest first: an id and a name@version have one. */
  async versions(reference: string): Promise<string[]> {
    const found = await this.named(reference)
    return isPlainName(found, reference) ? this.#versions.get(reference) : [String(found.version)]
  }

  all(): Promise<Model[]> {
    return this.#state.models.all()
  }

  /** True also if it is missing because Redis has lost all that it held. */
  async isRegistered(id: string): Promise<boolean> {
    return (
      (await this.#state.models.get(id)) !== undefined || (await this.#state.memory.isInDoubt('models', id))
    )
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

/** No name looks like an id, and none contains the @ before a version. */
const isPlainName = ({ name }: NamedModel, reference: string): boolean => name === reference
