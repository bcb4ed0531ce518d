/**
 * What the planner knows: a copy of models, resources, links, profiles and calibrations, kept in step with Redis by its
 * change announcements, so that a plan query reads memory only. While Redis is away the copy stays as it was.
 *
 * `revision` goes up whenever something that a plan depends on changed; what was worked out at one revision holds as
 * long as it stays. A heartbeat alone does not count: whether a resource is alive is a question of the clock.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { z } from 'zod'
import type { Model, Structure } from '../../../shared/contracts/model.ts'
import type { Served } from '../../../shared/contracts/profile.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { type Change, Changes } from '../../../shared/platform/redis/changes.ts'
import { Collection } from '../../../shared/platform/redis/collection.ts'
import { pickModel, type State, structureId } from '../../../shared/platform/redis/state.ts'
import { Copy } from './collection-copy.ts'
import { compactProfile, KeptCalibration, KeptLink, KeptProfile } from './planning-fields.ts'
import { Structures } from './structures.ts'

const FIRST_LOAD_MS = 2000

export class View {
  readonly #models: Copy<Model>
  readonly #resources: Copy<Resource>
  readonly #links: Copy<KeptLink>
  readonly #profiles: Copy<KeptProfile>
  readonly #calibrations: Copy<KeptCalibration>
  readonly #served: Copy<Served>
  readonly #structures: Structures
  readonly #changes: Changes
  readonly #log: Logger
  #revision = 0
  /** Everything was read once: from then on there is always a copy to answer from. */
  #complete = false
  #subscribed = false
  #loaded: Promise<void>
  /** Announced and not read yet, so that ten announcements of one document cost one reading. */
  readonly #waiting = new Set<string>()
  /** Reads run one after another, so that an older answer never overwrites a newer one. */
  #reads: Promise<void> = Promise.resolve()

  constructor(state: State, log: Logger) {
    this.#log = log
    const common = {
      onChange: () => {
        this.#revision += 1
      },
      onOdd: (error: ScissionError) => log.warn(`left out: ${error.message}`),
    }
    const only = <T>(kind: string, schema: z.ZodType<T>) => new Collection(state.redis, kind, schema)
    this.#models = new Copy(state.models, common)
    this.#resources = new Copy(state.resources, { ...common, same: exceptHeartbeat })
    this.#links = new Copy(only(state.links.kind, KeptLink), common)
    this.#profiles = new Copy(only(state.profiles.kind, KeptProfile), { ...common, keep: compactProfile })
    // Only what is completed is planned with.
    this.#calibrations = new Copy(only(state.calibrations.kind, KeptCalibration), {
      ...common,
      same: (before, after) => before.state !== 'completed' && after.state !== 'completed',
    })
    // Shown, never planned with: a change of it leaves the revision as it is.
    this.#served = new Copy(state.served, { onOdd: common.onOdd })
    this.#structures = new Structures(state.structures)
    this.#changes = new Changes(state.redis, log)
    this.#changes.on('change', (change) => this.#apply(change))
    this.#followSubscription()
    // A plan asked for before the first load waits for it. Everything is read again after either connection came
    // back: without the subscription changes are missed, without the other nothing can be read.
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
  get links(): ReadonlyMap<string, KeptLink> {
    return this.#links.items
  }
  get profiles(): ReadonlyMap<string, KeptProfile> {
    return this.#profiles.items
  }
  get calibrations(): ReadonlyMap<string, KeptCalibration> {
    return this.#calibrations.items
  }

  /** What serving says of profiles, by profile id. */
  get served(): ReadonlyMap<string, Served> {
    return this.#served.items
  }

  /** Resolves once there is a copy. @throws ScissionError queueUnavailable when Redis was never reached; else why it cannot be read. */
  async ready(): Promise<void> {
    if (this.#complete) return
    // Right after the start the connection is under way: worth a moment, but not worth hanging on.
    const patience = new AbortController()
    const first = sleep(FIRST_LOAD_MS, 'late' as const, { signal: patience.signal }).catch(() => undefined)
    const outcome = await Promise.race([this.#loaded, first])
    patience.abort()
    if (outcome === 'late')
      throw new ScissionError('queueUnavailable', 'Redis has not been reached yet; retry in a moment')
  }

  /** By id, name or `name@version`. @throws ScissionError notFound naming the nearest. */
  model(idOrName: string): Model {
    return this.#models.items.get(idOrName) ?? pickModel([...this.#models.items.values()], idOrName)
  }

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
    // Logged where it is queued; the connection that failed it reads everything again once it is back.
    read.catch(() => undefined)
  }

  /** Queues a read; its failure is logged here, whether or not the caller looks at the promise. */
  #read(work: () => Promise<void>): Promise<void> {
    const done = this.#reads.then(work)
    this.#reads = done.catch((error: unknown) =>
      this.#log.warn({ err: coerceError(error) }, 'could not read from Redis'),
    )
    return done
  }

  /** Says that the announcements are interrupted and that they are back, once each. */
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
