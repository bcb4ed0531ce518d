/**
 * The state that the services share, in Redis: one collection of documents per kind of thing. Every write is announced on
 * one channel, so that a reader can keep a copy and never poll.
 * Nothing large goes here: tensors, models and weights travel between services directly.
 */
import type { Redis } from 'ioredis'
import type { Page } from '../../contracts/common.ts'
import { Calibration } from '../../contracts/calibration.ts'
import { Model, Structure } from '../../contracts/model.ts'
import { Pace } from '../../contracts/pace.ts'
import { type NamedModel, pickNamed } from '../../contracts/model-names.ts'
import { Deployment } from '../../contracts/plan.ts'
import { Profile, Served } from '../../contracts/profile.ts'
import { Link, Resource } from '../../contracts/resource.ts'
import type { Logger } from '../log.ts'
import { RedisClock } from './clock.ts'
import { Collection } from './collection.ts'
import { RedisMemory } from './memory.ts'

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

export type State = ReturnType<typeof openState>

/** @param log is told of documents that are left out because this version cannot read them. */
export function openState(redis: Redis, log?: Logger) {
  return {
    redis,
    clock: new RedisClock(redis),
    memory: new RedisMemory(redis, log),
    models: new Collection(redis, 'models', Model, log),
    structures: new Collection(redis, 'structures', Structure, log),
    resources: new Collection(redis, 'resources', Resource, log),
    links: new Collection(redis, 'links', Link, log),
    profiles: new Collection(redis, 'profiles', Profile, log),
    /** By the id of the profile. */
    served: new Collection(redis, 'served', Served, log),
    /** By the name of the resource. */
    paces: new Collection(redis, 'paces', Pace, log),
    deployments: new Collection(redis, 'deployments', Deployment, log),
    calibrations: new Collection(redis, 'calibrations', Calibration, log),
  }
}

export const linkId = (from: string, to: string): string => `${from}>${to}`
export const structureId = (model: string, shapesKey: string): string => `${model}.${shapesKey}`
export const profileId = (profile: Pick<Profile, 'model' | 'shapesKey' | 'resource' | 'options'>): string =>
  `${profile.model}.${profile.shapesKey}.${profile.resource}.${profile.options.optimisation}-${profile.options.threads}`

/** The model that an id, a name or `name@version` means. @throws ScissionError notFound. */
export const findModel = async (state: State, reference: string): Promise<Model> =>
  (await findNamed(state, reference)).model

/** The same with the name by which it was found. @throws ScissionError notFound. */
export async function findNamed(state: State, reference: string): Promise<NamedModel> {
  const byId = await state.models.get(reference)
  return pickNamed(byId ? [byId] : await state.models.all(), reference)
}
