/** A calibration whose job is not in its queue: lost, or not there yet. */
import { expect, it } from 'vitest'
import { withLostJob } from '../../services/benchmark/calibrations/calibrations.ts'
import { exampleCalibration } from '../support/fixtures.ts'
import { withTestRedis } from '../support/redis.ts'

const redis = withTestRedis()
const ID = 'aaaaaaaaaaaa-bbbbbbbbbbbb'

async function seen(ageMs: number) {
  const { state } = redis()
  const createdAt = new Date((await state.clock.read()) - ageMs).toISOString()
  const record = exampleCalibration(ID, { createdAt })
  await state.calibrations.put(ID, record)
  const queues = { of: () => ({ getJob: () => Promise.resolve(undefined) }) }
  return withLostJob({ state, queues } as unknown as Parameters<typeof withLostJob>[0], record)
}

it('is waiting while its job is about to be added, which comes after its record', async () => {
  expect(await seen(0)).toMatchObject({ state: 'waiting' })
})

it('has failed if it was there and is gone', async () => {
  expect(await seen(60_000)).toMatchObject({ state: 'failed', error: 'its job is no longer in the queue' })
})
