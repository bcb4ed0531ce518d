/** Looks calibrations up and ends them before their time. */
import type { Job } from 'bullmq'
import type { Calibration } from '../../../shared/contracts/codec.ts'
import { cancelKey } from '../../../shared/platform/redis/benchmark-queue.ts'
import type { CalibrationParts } from './calibration-deps.ts'

const CANCEL_SECONDS = 3600

export const isUnderWay = ({ state }: Pick<Calibration, 'state'>): boolean =>
  state === 'waiting' || state === 'active'

/** One whose job was lost, with its resource or with Redis, says so instead of waiting for ever. */
export async function withLostJob(parts: CalibrationParts, record: Calibration): Promise<Calibration> {
  if (!isUnderWay(record)) return record
  const job: Job | undefined = await parts.queues.of(record.resource).getJob(record.id)
  const state = await job?.getState()
  if (job && state !== 'failed' && state !== 'completed') return record
  // Its end may have been written between the two looks.
  const now = (await parts.state.calibrations.get(record.id)) ?? record
  if (!isUnderWay(now)) return now
  return { ...now, state: 'failed', error: job?.failedReason ?? 'its job is no longer in the queue' }
}

/** Under way it is cancelled and stays on record; ended it is deleted with its samples. @returns what is left of it. */
export async function endCalibration(parts: CalibrationParts, id: string): Promise<Calibration | undefined> {
  const { state, queues, samples } = parts
  const record = await withLostJob(parts, await state.calibrations.need(id))
  if (!isUnderWay(record)) {
    await state.calibrations.delete(id)
    await samples.forget(id)
    return undefined
  }
  await state.redis.set(cancelKey(id), '1', 'EX', CANCEL_SECONDS)
  const job: Job | undefined = await queues.of(record.resource).getJob(id)
  // Fails when its worker holds it: then that finds the key and writes how it ended.
  const removed = await job?.remove().then(
    () => true,
    () => false,
  )
  if (removed) {
    const endedAt = new Date().toISOString()
    await state.calibrations.update(id, (current) =>
      current && isUnderWay(current)
        ? { ...current, state: 'cancelled', error: 'cancelled before it started', endedAt }
        : current,
    )
  }
  return state.calibrations.get(id)
}
