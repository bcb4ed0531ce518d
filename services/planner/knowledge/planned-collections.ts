/** Collections of Redis as the planner reads them: of each document the part that planning needs, held to the same sense. */
import type { Redis } from 'ioredis'
import type { z } from 'zod'
import type { LongDocument } from '../../../shared/platform/check-in-turns.ts'
import { Collection } from '../../../shared/platform/redis/collection.ts'
import { linkId, type State } from '../../../shared/platform/redis/state.ts'
import {
  LONG_MIRRORED_PROFILE,
  MirroredCalibration,
  MirroredLink,
  MirroredProfile,
} from './mirrored-documents.ts'

export function plannedCollections({ redis, links, profiles, calibrations }: State) {
  return {
    links: part(redis, links.kind, MirroredLink, ({ from, to }) => linkId(from, to)),
    profiles: part(redis, profiles.kind, MirroredProfile, ({ id }) => id, LONG_MIRRORED_PROFILE),
    calibrations: part(redis, calibrations.kind, MirroredCalibration, ({ id }) => id),
  }
}

const part = <T>(
  redis: Redis,
  kind: string,
  schema: z.ZodType<T>,
  idOf: (document: T) => string,
  long?: LongDocument<T>,
) => new Collection(redis, kind, schema, undefined, undefined, idOf, undefined, long)
