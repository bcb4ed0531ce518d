/**
 * The state that the services share, in Redis: one collection of documents per kind of thing. Every write is announced on
 * one channel, so that a reader can keep a copy and never poll.
 * Nothing large goes here: tensors, models and weights travel between services directly.
 */
import { EventEmitter } from 'node:events'
import type { Redis } from 'ioredis'
import type { z } from 'zod'
import type { Page } from '../../contracts/common.ts'
import { Calibration } from '../../contracts/calibration.ts'
import { Condition } from '../../contracts/condition.ts'
import { Model, Structure, LONG_STRUCTURE } from '../../contracts/model.ts'
import { Pace } from '../../contracts/pace.ts'
import { type NamedModel, pickNamed } from '../../contracts/model-names.ts'
import { KeyRecord } from '../../contracts/key.ts'
import { type Profile, Served } from '../../contracts/profile.ts'
import {
  LONG_PROFILE,
  SensibleDeployment,
  SensibleLink,
  SensibleProfile,
  SensibleStandIn,
} from '../../contracts/sense.ts'
import { Resource } from '../../contracts/resource.ts'
import type { Logger } from '../log.ts'
import { RedisClock } from './redis-clock.ts'
import { Collection, type OnWrite } from './collection.ts'
import { RedisMemory } from './redis-memory.ts'
import type { Seal } from './seal.ts'

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

/**
 * @param log is told of documents that are left out because this version cannot read them.
 * @param seal signs, and checks, the documents by which services find and believe each other.
 */
export function openState(redis: Redis, log?: Logger, seal?: Seal) {
  const writes = new EventEmitter<{ write: Parameters<OnWrite> }>()
  const memory = new RedisMemory(redis, log)
  const onWrite: OnWrite = (change) => {
    memory.heard(change.revision)
    writes.emit('write', change)
  }
  /** @param idOf the id that a document tells of itself: one under another id is no document of ours. */
  const collection = <T>(kind: string, schema: z.ZodType<T>, idOf: (document: T) => string) =>
    new Collection(redis, kind, schema, log, onWrite, idOf)
  /** The same for documents that are signed. */
  const sealed = <T>(kind: string, schema: z.ZodType<T>, idOf: (document: T) => string) =>
    new Collection(redis, kind, schema, log, onWrite, idOf, seal)
  return {
    redis,
    clock: new RedisClock(redis),
    memory,
    /** Tells of every write of this process as soon as it is done. */
    writes,
    /** Who may call the services, by the id of the key. */
    keys: sealed('keys', KeyRecord, ({ id }) => id),
    models: collection('models', Model, ({ id }) => id),
    structures: new Collection(
      redis,
      'structures',
      Structure,
      log,
      onWrite,
      ({ model, shapesKey }) => structureId(model, shapesKey),
      undefined,
      LONG_STRUCTURE,
    ),
    resources: sealed('resources', Resource, ({ name }) => name),
    links: collection('links', SensibleLink, ({ from, to }) => linkId(from, to)),
    profiles: new Collection(
      redis,
      'profiles',
      SensibleProfile,
      log,
      onWrite,
      ({ id }) => id,
      undefined,
      LONG_PROFILE,
    ),
    /** By the id of the profile. */
    served: collection('served', Served, ({ id }) => id),
    /** By the name of the resource. */
    paces: collection('paces', Pace, ({ resource }) => resource),
    deployments: sealed('deployments', SensibleDeployment, ({ id }) => id),
    /** By deployment and hop. */
    standIns: collection('stand-ins', SensibleStandIn, ({ deployment, hop }) => standInId(deployment, hop)),
    calibrations: collection('calibrations', Calibration, ({ id }) => id),
    conditions: collection('conditions', Condition, ({ id }) => id),
  }
}

export const linkId = (from: string, to: string): string => `${from}>${to}`
export const standInId = (deployment: string, hop: number): string => `${deployment} ${hop}`
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
