/** Calibrations for the watch over jobs (job-watch.ts): which are under way, and how one is ended from here. */
import type { Job } from 'bullmq'
import type { Redis } from 'ioredis'
import { coerceError } from '../../../shared/platform/errors.ts'
import { stopKey } from '../../../shared/platform/redis/queues.ts'
import { KEEP_SECONDS } from '../benchmarks/benchmark-queues.ts'
import { isUnderWay } from '../benchmarks/benchmark-view.ts'
import type { WatchedJob } from '../job-watch.ts'
import type { CalibrationDeps } from './calibrations.ts'

type Deps = Pick<CalibrationDeps, 'state' | 'queues'>

/** Redis set of ids: their records alone are read at each look, not those of all, whose cells are large. */
const UNDER_WAY = 'scission:calibrations-under-way'

/** Has it watched. Called when its record is there, before its job is added. */
export async function noteUnderWay(redis: Redis, id: string): Promise<void> {
  await redis.sadd(UNDER_WAY, id)
}

/** All that are under way. Those that have ended are forgotten; one that cannot be read is reported, and keeps no other from it. */
export async function watchedCalibrations(deps: Deps): Promise<WatchedJob[]> {
  const { state, queues } = deps
  const watched: WatchedJob[] = []
  for (const id of await state.redis.smembers(UNDER_WAY)) {
    const record = await state.calibrations.get(id).catch((thrown: unknown) => coerceError(thrown))
    if (record instanceof Error) {
      queues.leftOut.report(`calibration ${id}`, `the watch over calibration ${id}: ${record.message}`)
      continue
    }
    if (record && isUnderWay(record.state)) {
      const { resource } = record
      const end = (reason: string) => giveUp(deps, id, resource, reason)
      watched.push({ id, resource, state: record.state, of: `calibration ${id}`, end })
    } else await state.redis.srem(UNDER_WAY, id)
  }
  return watched
}

/** Marks it as failed. One that has ended since the caller looked stays as it is. */
async function giveUp({ state, queues }: Deps, id: string, resource: string, reason: string): Promise<void> {
  // Its worker may be at it still, or come back and find the job: then it stops by this.
  await state.redis.set(stopKey(id, resource), reason, 'EX', KEEP_SECONDS)
  const endedAt = state.clock.timestamp()
  await state.calibrations.update(id, (current) =>
    current && isUnderWay(current.state) ? { ...current, state: 'failed', error: reason, endedAt } : current,
  )
  const job: Job | undefined = await queues.of(resource).getJob(id)
  // Fails if a worker holds the job, which finds the key.
  await job?.remove().catch(() => undefined)
}
