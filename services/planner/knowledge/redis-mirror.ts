/**
 * A copy in memory of the Redis documents that planning reads: models, resources, links, profiles and calibrations. Change
 * announcements keep it up to date, so a plan query reads memory only. While Redis is unreachable the copy stays as it was.
 *
 * `revision` increases with every change that a plan can depend on; a result computed at one revision stays valid until
 * the next. A heartbeat alone does not increase it: whether a resource is alive depends on the clock.
 */
import { Collection } from '../../../shared/platform/redis/collection.ts'
import { Changes } from '../../../shared/platform/redis/changes.ts'
import type { Change } from '../../../shared/platform/redis/changes.ts'
import { waitAtMost } from '../../../shared/platform/deadline.ts'
import { isDeepStrictEqual } from 'node:util'
import type { z } from 'zod'
import type { Model, Structure } from '../../../shared/contracts/model.ts'
import type { Served } from '../../../shared/contracts/profile.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { pickModel, type State, structureId } from '../../../shared/platform/redis/state.ts'
import { CollectionMirror } from './collection-mirror.ts'
import { compactProfile, MirroredCalibration, MirroredLink, MirroredProfile } from './mirrored-documents.ts'
import { StructureCache } from './structure-cache.ts'

const FIRST_LOAD_MS = 2000

export class RedisMirror {
  readonly #models: CollectionMirror<Model>
  readonly #resources: CollectionMirror<Resource>
  readonly #links: CollectionMirror<MirroredLink>
  readonly #profiles: CollectionMirror<MirroredProfile>
  readonly #calibrations: CollectionMirror<MirroredCalibration>
  readonly #served: CollectionMirror<Served>
  readonly #structures: StructureCache
  readonly #changes: Changes
  readonly #log: Logger
  #revision = 0
  /** True once everything was read: from then on queries are answered even without Redis. */
  #complete = false
  #subscribed = false
  #loaded: Promise<void>
  /** Documents announced but not read yet: ten announcements of one document cost one read. */
  readonly #waiting = new Set<string>()
  /** Reads run one after another, so an older document never overwrites a newer one. */
  #reads: Promise<void> = Promise.resolve()

  constructor(state: State, log: Logger) {
    this.#log = log
    const common = {
      onChange: () => {
        this.#revision += 1
      },
      onUnreadable: (error: ScissionError) => log.warn(`left out: ${error.message}`),
    }
    const only = <T>(kind: string, schema: z.ZodType<T>) => new Collection(state.redis, kind, schema)
    this.#models = new CollectionMirror(state.models, common)
    this.#resources = new CollectionMirror(state.resources, { ...common, same: exceptHeartbeat })
    this.#links = new CollectionMirror(only(state.links.kind, MirroredLink), common)
    this.#profiles = new CollectionMirror(only(state.profiles.kind, MirroredProfile), {
      ...common,
      keep: compactProfile,
    })
    // Only completed calibrations are planned with.
    this.#calibrations = new CollectionMirror(only(state.calibrations.kind, MirroredCalibration), {
      ...common,
      same: (before, after) => before.state !== 'completed' && after.state !== 'completed',
    })
    // Served times are shown beside plans, never planned with: they leave the revision as it is.
    this.#served = new CollectionMirror(state.served, { onUnreadable: common.onUnreadable })
    this.#structures = new StructureCache(state.structures)
    this.#changes = new Changes(state.redis, log)
    this.#changes.on('change', (change) => this.#apply(change))
    this.#followSubscription()
    // A plan query that arrives before the first load waits for it. Everything is read again after either connection
    // came back: without the subscription changes are missed, without the other connection nothing can be read.
    this.#loaded = new Promise((resolve) => {
      const reload = () => {
        if (!this.#subscribed || state.redis.status !== 'ready') return
        this.#loaded = this.#read(() => this.#loadAll())
        this.#loaded.then(resolve, () => undefined)
      }
      this.#changes.on('resync', reload)
      state.redis.on('ready', reload)
    })
  }

  get revision(): number {
    return this.#revision
  }
  get models(): ReadonlyMap<string, Model> {
    return this.#models.items
  }
  get resources(): ReadonlyMap<string, Resource> {
    return this.#resources.items
  }
  get links(): ReadonlyMap<string, MirroredLink> {
    return this.#links.items
  }
  get profiles(): ReadonlyMap<string, MirroredProfile> {
    return this.#profiles.items
  }
  get calibrations(): ReadonlyMap<string, MirroredCalibration> {
    return this.#calibrations.items
  }

  /** Served times held against the profiles, by profile id. */
  get served(): ReadonlyMap<string, Served> {
    return this.#served.items
  }

  /**
   * Resolves once there is a copy.
   * @throws ScissionError queueUnavailable if Redis was never reached; else the error that the first read failed with.
   */
  async ready(): Promise<void> {
    if (this.#complete) return
    // Right after the start the connection is still being made: wait for it, but only for a moment.
    if ((await waitAtMost(this.#loaded, FIRST_LOAD_MS, 'late')) === 'late')
      throw new ScissionError('queueUnavailable', 'Redis has not been reached yet; retry in a moment')
  }

  /** @param idOrName id, name or `name@version`. @throws ScissionError notFound, which names the most similar model. */
  model(idOrName: string): Model {
    return this.#models.items.get(idOrName) ?? pickModel([...this.#models.items.values()], idOrName)
  }

  /** @throws ScissionError notFound if the model was not analysed for these shapes. */
  async structure(model: string, shapesKey: string): Promise<Structure> {
    return await this.#structures.get(structureId(model, shapesKey))
  }

  close(): void {
    this.#changes.close()
  }

  get #copies() {
    return [
      this.#models,
      this.#resources,
      this.#links,
      this.#profiles,
      this.#calibrations,
      this.#served,
    ] as const
  }

  async #loadAll(): Promise<void> {
    this.#structures.clear()
    for (const copy of this.#copies) await copy.reload()
    this.#complete = true
  }

  #apply({ kind, id }: Change): void {
    if (kind === 'structures') {
      this.#structures.forget(id)
      this.#revision += 1
    }
    const copy = this.#copies.find((one) => one.kind === kind)
    const key = `${kind} ${id}`
    if (!copy || this.#waiting.has(key)) return
    this.#waiting.add(key)
    const read = this.#read(() => {
      this.#waiting.delete(key)
      return copy.refresh(id)
    })
    // #read logs the failure; once the connection is back, everything is read again.
    read.catch(() => undefined)
  }

  /** Queues a read and logs its failure, whether or not the caller awaits the promise. */
  #read(work: () => Promise<void>): Promise<void> {
    const done = this.#reads.then(work)
    this.#reads = done.catch((error: unknown) =>
      this.#log.warn({ err: coerceError(error) }, 'could not read from Redis'),
    )
    return done
  }

  /** Logs once that the announcements are interrupted, and once that they are back. */
  #followSubscription(): void {
    let interrupted = false
    this.#changes.on('error', (error) => {
      this.#subscribed = false
      if (interrupted) this.#log.debug({ err: error }, 'the change announcements are still interrupted')
      else this.#log.warn({ err: error }, 'the change announcements of Redis are interrupted')
      interrupted = true
    })
    this.#changes.on('resync', () => {
      this.#subscribed = true
      if (interrupted) this.#log.info('the change announcements of Redis are back')
      interrupted = false
    })
  }
}

function exceptHeartbeat(before: Resource, after: Resource): boolean {
  return isDeepStrictEqual({ ...before, heartbeatAt: '' }, { ...after, heartbeatAt: '' })
}
