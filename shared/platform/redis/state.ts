/**
 * The state that the services share, in Redis: one collection of documents per kind of thing. Every write is announced on
 * one channel, so that a reader can keep a copy and never poll.
 * Nothing large goes here: tensors, models and weights travel between services directly.
 */
import type { Redis } from 'ioredis'
import type { Page } from '../../contracts/common.ts'
import { Calibration } from '../../contracts/calibration.ts'
import { Model, Structure } from '../../contracts/model.ts'
import { Deployment } from '../../contracts/plan.ts'
import { Profile, Served } from '../../contracts/profile.ts'
import { Link, Resource } from '../../contracts/resource.ts'
import { ScissionError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { nearest } from '../nearest.ts'
import { Collection } from './collection.ts'

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
    models: new Collection(redis, 'models', Model, log),
    structures: new Collection(redis, 'structures', Structure, log),
    resources: new Collection(redis, 'resources', Resource, log),
    links: new Collection(redis, 'links', Link, log),
    profiles: new Collection(redis, 'profiles', Profile, log),
    /** By the id of the profile. */
    served: new Collection(redis, 'served', Served, log),
    deployments: new Collection(redis, 'deployments', Deployment, log),
    calibrations: new Collection(redis, 'calibrations', Calibration, log),
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
