/** Reads the records of calibrations and cancels or deletes them. */
import type { Job } from 'bullmq'
import type { Calibration } from '../../../shared/contracts/calibration.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { type BenchmarkQueues, CANCEL_SECONDS } from '../benchmarks/benchmark-queues.ts'
import { isUnderWay } from '../benchmarks/benchmark-view.ts'
import type { Analyses } from '../models/analyses.ts'
import type { SampleFiles } from './sample-files.ts'
import { cancelKey } from '../../../shared/platform/redis/queues.ts'

/** Dependencies of starting, listing and ending calibrations. */
export interface CalibrationDeps {
  state: State
  queues: BenchmarkQueues
  analyses: Pick<Analyses, 'structure'>
  samples: SampleFiles
  heartbeatMs: number
}

/** The record, or a failed one if its job was lost with its resource or with Redis: it would stay under way for ever. */
export async function withLostJob(deps: CalibrationDeps, record: Calibration): Promise<Calibration> {
  if (!isUnderWay(record.state)) return record
  const job: Job | undefined = await deps.queues.of(record.resource).getJob(record.id)
  const state = await job?.getState()
  if (job && state !== 'failed' && state !== 'completed') return record
  // The worker may have written the end between the two reads.
  const now = (await deps.state.calibrations.get(record.id)) ?? record
  if (!isUnderWay(now.state)) return now
  return { ...now, state: 'failed', error: job?.failedReason ?? 'its job is no longer in the queue' }
}

/**
 * Cancels a calibration that is under way, which stays on record. Deletes one that has ended, with its samples.
 * @returns the record, or undefined if it was deleted. @throws ScissionError notFound.
 */
export async function endCalibration(deps: CalibrationDeps, id: string): Promise<Calibration | undefined> {
  const { state, queues, samples } = deps
  const record = await withLostJob(deps, await state.calibrations.need(id))
  if (!isUnderWay(record.state)) {
    await state.calibrations.delete(id)
    await samples.forget(id)
    return undefined
  }
  await state.redis.set(cancelKey(id), '1', 'EX', CANCEL_SECONDS)
  const job: Job | undefined = await queues.of(record.resource).getJob(id)
  // Fails if a worker holds the job: that worker finds the cancel key and writes the end of the calibration.
  const removed = await job?.remove().then(
    () => true,
    () => false,
  )
  if (removed) {
    const endedAt = new Date().toISOString()
    await state.calibrations.update(id, (current) =>
      current && isUnderWay(current.state)
        ? { ...current, state: 'cancelled', error: 'cancelled before it started', endedAt }
        : current,
    )
  }
  return state.calibrations.get(id)
}
