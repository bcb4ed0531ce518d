/**
 * The registry holds the records of models with their names and versions. All services read the records from Redis. Each
 * model's folder holds a copy, from which a record is restored if Redis has lost it.
 *
 * Its changes run under the lock `models`. Giving a name runs under NAMES_LOCK and the model's own lock as well, which come
 * first, in this order: a model that is being deleted gets no name.
 */
import type { ModelId } from '../../../shared/contracts/common.ts'
import type { Model, Samples, Structure } from '../../../shared/contracts/model.ts'
import { namesOf, versionsOf } from '../../../shared/contracts/model-names.ts'
import { shapesKeyOf } from '../../../shared/onnx/index.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { type State, structureId } from '../../../shared/platform/redis/state.ts'
import { modelLock, NAMES_LOCK, withLock } from '../../../shared/platform/redis/lock.ts'
import type { ChunkDigests, ModelStore } from './model-store.ts'

export interface NewModel {
  folder: string
  chunks: ChunkDigests
  /** The record without the fields that the registry assigns. */
  record: Omit<Model, 'name' | 'version' | 'aliases'>
}

export class Registry {
  readonly #store: ModelStore
  readonly #state: State
  readonly #log: Logger

  constructor(store: ModelStore, state: State, log: Logger) {
    this.#store = store
    this.#state = state
    this.#log = log
  }

  /** The record of a model whose files are in the store. Restores it to Redis if it is missing there. */
  async find(id: ModelId): Promise<Model | undefined> {
    const onDisk = await this.#store.record(id)
    if (!onDisk) return undefined
    const shared = await this.#state.models.find(id)
    if (shared) return shared
    await this.#restoreOne(onDisk.id, 'add')
    return onDisk
  }

  /**
   * Gives the model a name and the name's next version, moves its folder into the store, and writes its record.
   * @throws ScissionError conflict if a deployment has the name.
   */
  async add(model: NewModel, name: string): Promise<Model> {
    return this.#naming(model.record.id, async () => {
      // A replica with a store of its own may already have recorded the model under other names.
      const known = await this.#state.models.find(model.record.id)
      const record: Model = known
        ? await this.#withName(known, name)
        : { ...model.record, name, version: await this.#nextVersion(name) }
      await this.#store.adopt(model.folder, record, model.chunks)
      await this.#state.models.put(record.id, record)
      return record
    })
  }

  /**
   * Adds a name to the model, unless it already has that name.
   * @returns undefined if the model has been deleted. @throws ScissionError conflict if a deployment has the name.
   */
  async addName(id: ModelId, name: string): Promise<Model | undefined> {
    return this.#naming(id, async () =>
      (await this.#state.models.has(id))
        ? this.#change(id, (model) => this.#withName(model, name))
        : undefined,
    )
  }

  /** Sets the input shapes that requests without input shapes refer to. */
  async setShapes(id: ModelId, structure: Structure): Promise<Model> {
    const { inputShapes, shapesKey } = structure
    return this.#update(id, async (model) => ({ ...model, inputShapes, shapesKey }))
  }

  /** Sets the model's samples; with a structure also the input shapes, if the model has none yet. */
  async setSamples(id: ModelId, samples: Samples | undefined, structure: Structure | null): Promise<Model> {
    const changed = await this.#update(id, async ({ samples: _before, ...model }) => ({
      ...model,
      ...(samples && { samples }),
      ...(structure && { inputShapes: structure.inputShapes, shapesKey: structure.shapesKey }),
    }))
    await this.#store.keepSamples(id, samples)
    return changed
  }

  /** Removes one of several names. The first of the others becomes the main name. @throws ScissionError conflict. */
  async removeName(id: ModelId, name: string): Promise<Model> {
    return this.#update(id, async (model) => {
      const [first, ...aliases] = namesOf(model).filter((own) => own.name !== name)
      if (!first) throw new ScissionError('conflict', `"${name}" is the only name of the model`)
      return { ...model, ...first, aliases }
    })
  }

  /** Deletes the files first: a crash may leave a record without files, but never files without a record. */
  async remove({ id }: Model): Promise<void> {
    const { redis, structures, profiles, models } = this.#state
    await withLock(redis, 'models', async () => {
      await this.#store.remove(id)
      // By their ids: each may have many megabytes.
      for (const one of await structures.ids())
        if (one.startsWith(structureId(id, ''))) await structures.delete(one)
      for (const profile of await profiles.all()) if (profile.model === id) await profiles.delete(profile.id)
      await models.delete(id)
    })
  }

  /**
   * Restores records and structures of the stored models that Redis lacks.
   * @returns the models that another version of Scission analysed: their records have the new key, and no structure yet.
   */
  async restore(): Promise<Model[]> {
    const outdated: Model[] = []
    for (const stored of await this.#store.all()) {
      const renewed = await this.#renewKey(stored.id)
      if (renewed) outdated.push(renewed)
    }
    const restored = await this.restoreMissing()
    if (restored > 0) this.#log.info(`restored ${restored} model(s) from the store to Redis`)
    return outdated
  }

  /** Restores records and structures that Redis lacks. @returns how many records. */
  async restoreMissing(): Promise<number> {
    let restored = 0
    for (const { id } of await this.#store.all()) if (await this.#restoreOne(id)) restored += 1
    return restored
  }

  /** Gives a record that an earlier analysis made the key of this one. @returns undefined if it has it. */
  async #renewKey(id: ModelId): Promise<Model | undefined> {
    return withLock(this.#state.redis, 'models', async () => {
      const model = (await this.#state.models.find(id)) ?? (await this.#store.record(id))
      if (!model?.inputShapes) return undefined
      const shapesKey = shapesKeyOf(model.inputShapes)
      if (shapesKey === model.shapesKey) return undefined
      const renewed = { ...model, shapesKey }
      await this.#store.writeRecord(renewed)
      await this.#state.models.put(id, renewed)
      return renewed
    })
  }

  /**
   * Under the lock of all names: what was deleted or renamed since the files were listed stays so.
   * @param how `add` also if the model was deleted a moment ago: it is uploaded again.
   */
  async #restoreOne(id: ModelId, how: 'add' | 'restore' = 'restore'): Promise<boolean> {
    return withLock(this.#state.redis, 'models', async () => {
      const model = await this.#store.record(id)
      if (!model) return false
      for (const key of await this.#store.structureKeys(id)) {
        if (await this.#state.structures.has(structureId(id, key))) continue
        const structure = await this.#store.structure(id, key)
        if (structure) await this.#state.structures.add(structureId(id, key), structure)
      }
      return this.#state.models[how](id, model)
    })
  }

  #update(id: ModelId, change: (model: Model) => Promise<Model>): Promise<Model> {
    return withLock(this.#state.redis, 'models', () => this.#change(id, change))
  }

  /** No deployment gets a name meanwhile, and the model is not deleted. */
  #naming<T>(id: ModelId, work: () => Promise<T>): Promise<T> {
    const { redis } = this.#state
    return withLock(redis, NAMES_LOCK, () =>
      withLock(redis, modelLock(id), () => withLock(redis, 'models', work)),
    )
  }

  async #change(id: ModelId, change: (model: Model) => Promise<Model>): Promise<Model> {
    const changed = await change(await this.#state.models.need(id))
    await this.#store.writeRecord(changed)
    await this.#state.models.put(id, changed)
    return changed
  }

  async #withName(model: Model, name: string): Promise<Model> {
    if (namesOf(model).some((own) => own.name === name)) return model
    const alias = { name, version: await this.#nextVersion(name) }
    return { ...model, aliases: [...(model.aliases ?? []), alias] }
  }

  async #nextVersion(name: string): Promise<number> {
    await refuseDeploymentName(this.#state.deployments, name)
    return (versionsOf(await this.#state.models.all(), name).at(-1) ?? 0) + 1
  }
}

/**
 * Both are served under /v2/models. To be called under NAMES_LOCK.
 * @param remedy what the error tells the user to do. @throws ScissionError conflict if a deployment has the name.
 */
export async function refuseDeploymentName(
  deployments: State['deployments'],
  name: string,
  remedy = 'choose another for the model',
): Promise<void> {
  if (await deployments.has(name))
    throw new ScissionError('conflict', `"${name}" is the name of a deployment; ${remedy}`)
}
