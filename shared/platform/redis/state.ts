/**
 * What the services share, in Redis: one hash per kind of thing, one JSON document per field, validated on the way
 * in and out. Every write is announced on one channel, so that a reader can keep a copy and never poll.
 * Nothing large goes here: tensors, models and weights travel between services directly.
 */
import { EventEmitter } from 'node:events'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import type { Page } from '../../contracts/common.ts'
import { Calibration } from '../../contracts/calibration.ts'
import { Model, Structure } from '../../contracts/model.ts'
import { Deployment } from '../../contracts/plan.ts'
import { Profile, Served } from '../../contracts/profile.ts'
import { Link, Resource } from '../../contracts/resource.ts'
import { coerceError, ScissionError } from '../errors.ts'
import { nearest } from '../nearest.ts'

export const CHANGES_CHANNEL = 'scission:changes'

const Change = z.object({ kind: z.string(), id: z.string() })
export type Change = z.infer<typeof Change>

/** Documents read at once by `some`. */
const BATCH = 20

export class Collection<T> {
  readonly kind: string
  readonly #redis: Redis
  readonly #schema: z.ZodType<T>
  readonly #key: string

  constructor(redis: Redis, kind: string, schema: z.ZodType<T>) {
    this.#redis = redis
    this.kind = kind
    this.#schema = schema
    this.#key = `scission:${kind}`
  }

  async get(id: string): Promise<T | undefined> {
    const text = await this.#redis.hget(this.#key, id)
    return text === null ? undefined : this.#parse(id, text)
  }

  /** Without reading the document. */
  async has(id: string): Promise<boolean> {
    return (await this.#redis.hexists(this.#key, id)) === 1
  }

  /** @throws ScissionError notFound naming what exists, when that is a short list. */
  async need(id: string): Promise<T> {
    const found = await this.get(id)
    if (found !== undefined) return found
    const known = (await this.#redis.hkeys(this.#key)).sort()
    const singular = this.kind.replace(/s$/, '')
    const hint =
      known.length === 0
        ? `there are no ${this.kind} yet`
        : `known: ${known.slice(0, 10).join(', ')}${known.length > 10 ? ', …' : ''}`
    throw new ScissionError('notFound', `unknown ${singular} "${id}"; ${hint}`, {
      known: known.slice(0, 100),
    })
  }

  async put(id: string, value: T): Promise<void> {
    const text = JSON.stringify(this.#schema.parse(value))
    await this.#redis.multi().hset(this.#key, id, text).publish(CHANGES_CHANNEL, this.#change(id)).exec()
  }

  async delete(id: string): Promise<boolean> {
    const removed = await this.#redis.hdel(this.#key, id)
    if (removed > 0) await this.#redis.publish(CHANGES_CHANNEL, this.#change(id))
    return removed > 0
  }

  async ids(): Promise<string[]> {
    return (await this.#redis.hkeys(this.#key)).sort()
  }

  /**
   * The documents of these ids that exist, a few at a time: for a reader that must not hold all of a large collection
   * as text at once. One that this version cannot read is given to `onOdd` and left out.
   */
  async *some(ids: readonly string[], onOdd: (error: ScissionError) => void): AsyncGenerator<[string, T]> {
    for (let start = 0; start < ids.length; start += BATCH) {
      const batch = ids.slice(start, start + BATCH)
      const texts = await this.#redis.hmget(this.#key, ...batch)
      for (const [index, id] of batch.entries()) {
        const text = texts[index]
        if (typeof text !== 'string') continue
        const parsed = this.#tryParse(id, text)
        if (parsed instanceof ScissionError) onOdd(parsed)
        else yield [id, parsed]
      }
    }
  }

  /** All documents, by id. */
  async all(): Promise<T[]> {
    const fields = await this.#redis.hgetall(this.#key)
    return Object.keys(fields)
      .sort()
      .map((id) => this.#parse(id, fields[id] ?? ''))
  }

  #parse(id: string, text: string): T {
    const parsed = this.#tryParse(id, text)
    if (parsed instanceof ScissionError) throw parsed
    return parsed
  }

  #tryParse(id: string, text: string): T | ScissionError {
    const odd = (why: string) =>
      new ScissionError('internal', `${this.kind} ${id} in Redis is not what this version writes: ${why}`)
    try {
      const parsed = this.#schema.safeParse(JSON.parse(text))
      return parsed.success ? parsed.data : odd(parsed.error.message)
    } catch (thrown) {
      return odd(coerceError(thrown).message)
    }
  }

  #change(id: string): string {
    return JSON.stringify({ kind: this.kind, id } satisfies Change)
  }
}

/** Cuts a sorted list into pages; the cursor is the key of the last item given. */
export function paginate<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  query: { limit: number; cursor?: string | undefined },
): Page<T> {
  const { limit, cursor } = query
  const start = cursor === undefined ? 0 : items.findIndex((item) => keyOf(item) > cursor)
  if (start < 0) return { items: [] }
  const page = items.slice(start, start + limit)
  const last = page.at(-1)
  const more = start + page.length < items.length
  return more && last !== undefined ? { items: page, next: keyOf(last) } : { items: page }
}

export interface State {
  readonly redis: Redis
  readonly models: Collection<Model>
  readonly structures: Collection<Structure>
  readonly resources: Collection<Resource>
  readonly links: Collection<Link>
  readonly profiles: Collection<Profile>
  /** By the id of the profile. */
  readonly served: Collection<Served>
  readonly deployments: Collection<Deployment>
  readonly calibrations: Collection<Calibration>
}

export function openState(redis: Redis): State {
  return {
    redis,
    models: new Collection(redis, 'models', Model),
    structures: new Collection(redis, 'structures', Structure),
    resources: new Collection(redis, 'resources', Resource),
    links: new Collection(redis, 'links', Link),
    profiles: new Collection(redis, 'profiles', Profile),
    served: new Collection(redis, 'served', Served),
    deployments: new Collection(redis, 'deployments', Deployment),
    calibrations: new Collection(redis, 'calibrations', Calibration),
  }
}

export const linkId = (from: string, to: string): string => `${from}>${to}`
export const structureId = (model: string, shapesKey: string): string => `${model}.${shapesKey}`
export const profileId = (profile: Pick<Profile, 'model' | 'shapesKey' | 'resource' | 'options'>): string =>
  `${profile.model}.${profile.shapesKey}.${profile.resource}.${profile.options.optimisation}-${profile.options.threads}`

/** All names of a model: its first one and those that the same bytes were uploaded under later. */
export const namesOf = (model: Model): { name: string; version: number }[] => [
  { name: model.name, version: model.version },
  ...(model.aliases ?? []),
]

/** A model by id, by name (its highest version) or by `name@version`. @throws ScissionError notFound. */
export async function findModel(state: State, idOrName: string): Promise<Model> {
  return (await state.models.get(idOrName)) ?? pickModel(await state.models.all(), idOrName)
}

/** The same from a list. @throws ScissionError notFound naming what exists. */
export function pickModel(models: readonly Model[], idOrName: string): Model {
  const byId = models.find((model) => model.id === idOrName)
  if (byId) return byId
  const [name, version] = idOrName.split('@')
  const named = models.flatMap((model) =>
    namesOf(model).flatMap((own) => (own.name === name ? [{ model, version: own.version }] : [])),
  )
  const wanted = version === undefined ? named : named.filter((own) => String(own.version) === version)
  const found = wanted.sort((a, b) => b.version - a.version)[0]
  if (found) return found.model
  const known = [...new Set(models.flatMap((model) => namesOf(model).map((own) => own.name)))].sort()
  const hint = known.length === 0 ? '; none has been uploaded yet' : nearest(idOrName, known)
  throw new ScissionError('notFound', `unknown model "${idOrName}"${hint}`, { known: known.slice(0, 100) })
}

/** Longest part of an unreadable message that is shown. */
const SHOWN_CHARACTER_COUNT = 200

/** Parses one message of the channel. Anybody can publish there, so a message may be anything. */
function readChange(text: string): Change | undefined {
  try {
    return Change.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

/**
 * Emits the changes that any process announces as 'change' events. Reconnects by itself and emits 'resync' after each
 * (re)connection. A message that is no change is emitted as 'unreadable', with its first characters.
 */
export class Changes extends EventEmitter<{
  change: [Change]
  resync: []
  error: [Error]
  unreadable: [string]
}> {
  readonly #subscriber: Redis

  /** @param redis is duplicated, because a subscribed connection can do nothing else. */
  constructor(redis: Redis) {
    super()
    this.#subscriber = redis.duplicate({
      enableOfflineQueue: true,
      maxRetriesPerRequest: null,
      // Subscribing is done below; ioredis would subscribe again, and its failure would be an unhandled rejection.
      autoResubscribe: false,
    })
    this.#subscriber.on('error', (error) => this.emit('error', error))
    this.#subscriber.on('message', (_channel, text) => {
      const change = readChange(text)
      if (change) this.emit('change', change)
      else this.emit('unreadable', text.slice(0, SHOWN_CHARACTER_COUNT))
    })
    this.#subscriber.on('ready', () => {
      this.#subscriber.subscribe(CHANGES_CHANNEL).then(
        () => this.emit('resync'),
        (error: Error) => this.emit('error', error),
      )
    })
  }

  close(): void {
    this.#subscriber.disconnect()
  }
}
