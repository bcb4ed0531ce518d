/**
 * A copy in memory of the Redis documents that planning reads: models, resources, links, profiles and calibrations. Change
 * announcements keep it up to date, so a plan query reads memory only. While Redis is unreachable the copy stays as it was.
 *
 * `revision` increases with every change that a plan can depend on; a result computed at one revision stays valid until
 * the next. A heartbeat alone does not increase it: whether a resource is alive depends on the clock.
 * `gate` knows which revision of Redis the copy has, which counts every write.
 */
import { isDeepStrictEqual } from 'node:util'
import { LRUCache } from 'lru-cache'
import { pickModel } from '../../../shared/contracts/model-names.ts'
import type { KeyRecord } from '../../../shared/contracts/key.ts'
import type { Condition } from '../../../shared/contracts/condition.ts'
import type { Model, Structure } from '../../../shared/contracts/model.ts'
import type { Pace } from '../../../shared/contracts/pace.ts'
import type { Served } from '../../../shared/contracts/profile.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { waitAtMost } from '../../../shared/platform/deadline.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { type Change, Changes } from '../../../shared/platform/redis/changes.ts'
import type { Collection, OnWrite } from '../../../shared/platform/redis/collection.ts'
import { DOUBT_MS } from '../../../shared/platform/redis/redis-memory.ts'
import { readRevision } from '../../../shared/platform/redis/revision.ts'
import { RevisionGate } from '../../../shared/platform/redis/revision-gate.ts'
import { type State, structureId } from '../../../shared/platform/redis/state.ts'
import { CollectionMirror, type CollectionMirrorOptions } from './collection-mirror.ts'
import { Outdated } from './outdated.ts'
import {
  compactProfile,
  isSameLink,
  type MirroredCalibration,
  type MirroredLink,
  type MirroredProfile,
  planningStructure,
} from './mirrored-documents.ts'
import { plannedCollections } from './planned-collections.ts'

const FIRST_LOAD_MS = 2000
/** Longest wait for a structure of which a copy is known. */
const STRUCTURE_MS = 1000
/** Redis may answer with an error, or not in time, on a connection that stays: nothing else would bring the next read. */
const READ_AGAIN_MS = 1000
/** By then all services have written back what they know to a Redis that has lost it. */
const AFTER_DOUBT_MS = DOUBT_MS + 1000

/** About 24 MB: one layer with its boundary takes about 400 bytes. */
const MAX_LAYER_COUNT = 60_000

export class RedisMirror {
  readonly models: ReadonlyMap<string, Model>
  readonly resources: ReadonlyMap<string, Resource>
  readonly links: ReadonlyMap<string, MirroredLink>
  readonly profiles: ReadonlyMap<string, MirroredProfile>
  readonly calibrations: ReadonlyMap<string, MirroredCalibration>
  /** Served times held against the profiles, by profile id: shown beside plans, never planned with. */
  readonly served: ReadonlyMap<string, Served>
  /** What is wrong now. */
  readonly conditions: ReadonlyMap<string, Condition>
  /** How fast each machine is now, by resource. */
  readonly paces: ReadonlyMap<string, Pace>
  /** Who may call the services: to write them back if Redis loses them. */
  readonly keys: ReadonlyMap<string, KeyRecord>
  readonly #copies: Pick<CollectionMirror<unknown>, 'kind' | 'reload' | 'refresh'>[] = []
  /** Read at first use. The most recently used ones stay in memory, bounded by layers. */
  readonly #structures: LRUCache<string, Structure>
  /** Those that may have changed while Redis was away: read again at their next use, if it can be read then. */
  readonly #unsure = new Set<string>()
  readonly #changes: Changes
  readonly #log: Logger
  #revision = 0
  /** True once everything was read: from then on queries are answered even without Redis. */
  #complete = false
  #subscribed = false
  /** A read failed since everything was last read. */
  #failing = false
  #closed = false
  #onConditions = () => {}
  /** Reads everything again if that is possible now. */
  #reload = () => {}
  #again: NodeJS.Timeout | undefined
  #loaded: Promise<void>
  readonly gate: RevisionGate
  readonly #outdated = new Outdated()
  /** Number of this process's own writes, and of those of them that the copy contains. */
  #written = 0
  #contained = 0
  #readQueued = false
  readonly #onWrite: OnWrite
  readonly #state: State
  /** Reads run one after another, so an older document never overwrites a newer one. */
  #reads: Promise<void> = Promise.resolve()

  constructor(state: State, log: Logger) {
    this.#log = log
    this.#state = state
    const onChange = () => {
      this.#revision += 1
    }
    this.models = this.#copy(state.models, { onChange })
    this.resources = this.#copy(state.resources, { onChange, same: exceptHeartbeat })
    const planned = plannedCollections(state)
    this.links = this.#copy(planned.links, { onChange, same: isSameLink })
    this.profiles = this.#copy(planned.profiles, {
      onChange,
      keep: compactProfile,
    })
    // Only completed calibrations are planned with.
    this.calibrations = this.#copy(planned.calibrations, {
      onChange,
      same: (before, after) => before.state !== 'completed' && after.state !== 'completed',
    })
    this.paces = this.#copy(state.paces, { onChange })
    // Leaves the revision as it is.
    this.served = this.#copy(state.served, {})
    this.keys = this.#copy(state.keys, {})
    this.conditions = this.#copy(state.conditions, { onChange: () => this.#onConditions() })
    this.#structures = new LRUCache<string, Structure>({
      maxSize: MAX_LAYER_COUNT,
      // A structure beyond the limit is kept alone: without it every query would read it from Redis again.
      sizeCalculation: ({ layers }) => Math.min(MAX_LAYER_COUNT, Math.max(1, layers.length)),
      fetchMethod: async (id) => planningStructure(await state.structures.need(id)),
      // A structure that is forgotten while it is read is still handed out, but not kept.
      ignoreFetchAbort: true,
      noDeleteOnFetchRejection: true,
    })
    this.gate = new RevisionGate(() => readRevision(state.redis))
    this.#changes = new Changes(state.redis, log)
    this.#changes.on('change', (change) => this.#apply(change))
    this.#onWrite = (change) => this.#include(change)
    state.writes.on('write', this.#onWrite)
    this.#followSubscription()
    // A plan query that arrives before the first load waits for it. Everything is read again after either connection
    // came back: without the subscription changes are missed, without the other connection nothing can be read.
    this.#loaded = new Promise((resolve) => {
      this.#reload = () => {
        if (!this.#subscribed || state.redis.status !== 'ready') return
        this.#loaded = this.#read(() => this.#loadAll())
        this.#loaded.then(resolve, () => undefined)
      }
      this.#changes.on('resync', this.#reload)
      state.redis.on('ready', this.#reload)
    })
  }

  get revision(): number {
    return this.#revision
  }

  /** The announcements of all changes, for others that follow them: one connection is enough. */
  get changes(): Changes {
    return this.#changes
  }

  /** @param changed called after each change of `conditions`, by which no plan is affected. */
  onConditions(changed: () => void): void {
    this.#onConditions = changed
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
    return this.models.get(idOrName) ?? pickModel([...this.models.values()], idOrName)
  }

  /** @throws ScissionError notFound if the model was not analysed for these shapes. */
  async structure(model: string, shapesKey: string): Promise<Structure> {
    const id = structureId(model, shapesKey)
    const known = this.#unsure.has(id) ? this.#structures.peek(id) : undefined
    if (known === undefined) {
      this.#unsure.delete(id)
      return await this.#structures.forceFetch(id)
    }
    // A Redis that is away, or hangs, must not delay what can be answered.
    return waitAtMost(this.#readStructureAgain(id, known), STRUCTURE_MS, known)
  }

  async #readStructureAgain(id: string, known: Structure): Promise<Structure> {
    try {
      const structure = await this.#structures.forceFetch(id, { forceRefresh: true })
      this.#unsure.delete(id)
      return structure
    } catch (thrown) {
      const isGone = thrown instanceof ScissionError && thrown.code === 'notFound'
      if (!isGone || (await this.#state.memory.isInDoubt('structures', id))) return known
      this.#unsure.delete(id)
      this.#structures.delete(id)
      throw thrown
    }
  }

  /** Reads everything again: Redis has lost its memory, perhaps without a word (FLUSHALL). */
  readAgain(): void {
    this.#reload()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#again)
    this.#changes.close()
    this.#state.writes.off('write', this.#onWrite)
  }

  #copy<T>(
    collection: Collection<T>,
    options: Omit<CollectionMirrorOptions<T>, 'onUnreadable'>,
  ): ReadonlyMap<string, T> {
    const onUnreadable = (error: ScissionError) => this.#log.warn(`left out: ${error.message}`)
    const copy = new CollectionMirror(collection, { ...options, onUnreadable })
    this.#copies.push(copy)
    return copy.items
  }

  async #loadAll(): Promise<void> {
    // Before what was lost is forgotten here too.
    if (this.#complete) await this.#state.memory.look()
    const inDoubt = this.#complete && (await this.#state.memory.isInDoubt())
    for (const id of this.#structures.keys()) this.#unsure.add(id)
    const written = this.#written
    const revision = await readRevision(this.#state.redis)
    for (const copy of this.#copies) await copy.reload(inDoubt)
    if (inDoubt) this.#reloadIn(AFTER_DOUBT_MS)
    this.#complete = true
    this.#failing = false
    this.#outdated.clear()
    this.#contained = written
    this.gate.advance(revision)
  }

  #apply(change: Change): void {
    this.#forgetStructure(change)
    // Without losing the connection: FLUSHALL.
    if (this.#outdated.announce(change, this.gate.revision)) this.#reload()
    this.#readOutdated()
  }

  /** A write of this process: the next answer must contain it, wherever its announcement is. */
  #include(change: Change & { revision: string }): void {
    if (!this.#copies.some(({ kind }) => kind === change.kind)) return
    this.#outdated.wrote(change)
    this.#written += 1
    this.#readOutdated()
  }

  #forgetStructure({ kind, id }: Change): void {
    if (kind !== 'structures') return
    this.#structures.delete(id)
    this.#unsure.delete(id)
    this.#revision += 1
  }

  /** Queues one read of all documents that are announced by the time of its turn. */
  #readOutdated(): void {
    if (this.#readQueued) return
    this.#readQueued = true
    const read = this.#read(async () => {
      // Before anything can fail: what is announced from now on is the next read's.
      this.#readQueued = false
      // What others write back must not replace what this planner has to write back itself.
      if (this.#complete) await this.#state.memory.look()
      const { announced } = this.#outdated
      const written = this.#written
      const documents = this.#outdated.take()
      for (const copy of this.#copies) {
        const ids = documents.get(copy.kind)
        if (ids) await copy.refresh([...ids])
      }
      // After a failure or in a new epoch, only reading everything again makes the copy complete.
      if (this.#failing) return
      this.#contained = written
      if (announced?.epoch === this.gate.revision?.epoch) this.gate.advance(announced)
    })
    // #read logs the failure and has everything read again.
    read.catch(() => undefined)
  }

  /**
   * Resolves once the copy contains all that this process has written.
   * @throws ScissionError queueUnavailable if Redis cannot be read.
   */
  async settled(): Promise<void> {
    const written = this.#written
    if (this.#contained < written) await this.#reads
    if (this.#contained >= written) return
    throw new ScissionError(
      'queueUnavailable',
      'it is written, but this planner cannot read Redis now, and plans with what it knew; retry in a moment',
    )
  }

  /** Queues a read. If it fails, everything is read again later, whether or not the caller awaits the promise. */
  #read(work: () => Promise<void>): Promise<void> {
    const done = this.#reads.then(work)
    this.#reads = done.catch((error: unknown) => this.#readAgain(coerceError(error)))
    return done
  }

  /** Warns of the first failure only. Without a connection nothing is read until that is back. */
  #readAgain(err: Error): void {
    if (this.#failing) this.#log.debug({ err }, 'still could not read from Redis')
    else this.#log.warn({ err }, 'could not read from Redis')
    this.#failing = true
    this.#reloadIn(READ_AGAIN_MS)
  }

  #reloadIn(ms: number): void {
    clearTimeout(this.#again)
    if (!this.#closed) this.#again = setTimeout(this.#reload, ms).unref()
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
