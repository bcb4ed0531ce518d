/**
 * What the planner knows: a copy of resources, links, profiles and structures, kept in step with Redis by its change
 * announcements, so that a plan query reads memory only. While Redis is away the copy stays as it was.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Structure } from '../../shared/contracts/model.ts'
import type { Profile } from '../../shared/contracts/profile.ts'
import type { Link, Resource } from '../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../shared/errors.ts'
import type { Logger } from '../../shared/log.ts'
import {
  type Change,
  Changes,
  type Collection,
  linkId,
  profileId,
  type State,
  structureId,
} from '../../shared/state.ts'

const FIRST_LOAD_MS = 2000

type Kind = 'resources' | 'links' | 'profiles'

export class View {
  readonly resources = new Map<string, Resource>()
  readonly links = new Map<string, Link>()
  readonly profiles = new Map<string, Profile>()
  readonly #structures = new Map<string, Structure>()
  readonly #state: State
  readonly #changes: Changes
  readonly #log: Logger
  #loaded: Promise<void>
  /** Reads run one after another, so that an older answer never overwrites a newer one. */
  #reads: Promise<void> = Promise.resolve()

  constructor(state: State, log: Logger) {
    this.#state = state
    this.#log = log
    this.#changes = new Changes(state.redis)
    this.#changes.on('change', (change) => this.#apply(change))
    this.#changes.on('error', (error) =>
      log.warn({ err: error }, 'the change announcements of Redis are interrupted'),
    )
    // A plan asked for before the first load waits for it. Everything is read again after either connection came
    // back: without the subscription changes are missed, without the other nothing can be read.
    this.#loaded = new Promise((resolve) => {
      const reload = () => {
        this.#loaded = this.#read(() => this.#loadAll())
        this.#loaded.then(resolve, () => undefined)
      }
      this.#changes.on('resync', reload)
      state.redis.on('ready', reload)
    })
  }

  /** @throws ScissionError queueUnavailable before the first load; else as Redis failed since the last (re)connection. */
  async ready(): Promise<void> {
    // Right after the start the connection is under way: worth a moment, but not worth hanging on.
    const patience = new AbortController()
    const first = sleep(FIRST_LOAD_MS, 'late' as const, { signal: patience.signal }).catch(() => undefined)
    const outcome = await Promise.race([this.#loaded, first])
    patience.abort()
    if (outcome === 'late')
      throw new ScissionError('queueUnavailable', 'Redis has not been reached yet; retry in a moment')
  }

  /** Structures never change once written, so they are read when first asked for. */
  async structure(model: string, shapesKey: string): Promise<Structure> {
    const id = structureId(model, shapesKey)
    const known = this.#structures.get(id)
    if (known) return known
    const structure = await this.#state.structures.need(id)
    this.#structures.set(id, structure)
    return structure
  }

  close(): void {
    this.#changes.close()
  }

  async #loadAll(): Promise<void> {
    const [resources, links, profiles] = await Promise.all([
      this.#state.resources.all(),
      this.#state.links.all(),
      this.#state.profiles.all(),
    ])
    replace(this.resources, resources, (resource) => resource.name)
    replace(this.links, links, (link) => linkId(link.from, link.to))
    replace(this.profiles, profiles, profileId)
    this.#structures.clear()
  }

  #apply(change: Change): void {
    const { kind, id } = change
    if (kind === 'structures') this.#structures.delete(id)
    if (kind === 'resources' || kind === 'links' || kind === 'profiles') {
      this.#read(() => this.#refresh(kind, id)).catch(() => undefined)
    }
  }

  /** Queues a read; its failure is logged here, whether or not the caller looks at the promise. */
  #read(work: () => Promise<void>): Promise<void> {
    const done = this.#reads.then(work)
    this.#reads = done.catch((error: unknown) =>
      this.#log.warn({ err: coerceError(error) }, 'could not read from Redis'),
    )
    return done
  }

  async #refresh(kind: Kind, id: string): Promise<void> {
    if (kind === 'resources') await refreshOne(this.#state.resources, this.resources, id)
    else if (kind === 'links') await refreshOne(this.#state.links, this.links, id)
    else await refreshOne(this.#state.profiles, this.profiles, id)
  }
}

async function refreshOne<T>(collection: Collection<T>, copy: Map<string, T>, id: string): Promise<void> {
  const value = await collection.get(id)
  if (value === undefined) copy.delete(id)
  else copy.set(id, value)
}

function replace<T>(copy: Map<string, T>, values: readonly T[], keyOf: (value: T) => string): void {
  copy.clear()
  for (const value of values) copy.set(keyOf(value), value)
}
