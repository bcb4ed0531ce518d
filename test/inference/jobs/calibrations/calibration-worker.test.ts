import { once } from 'node:events'
import { expect, it } from 'vitest'
import { startLinkEmulator } from '../../../../infra/testbed/link-emulator/emulator.ts'
import { workCalibration } from '../../../../services/inference/jobs/calibrations/calibration-worker.ts'
import { createLog } from '../../../../shared/platform/log.ts'
import { producerConnection } from '../../../../shared/platform/redis/connections.ts'
import { openState } from '../../../../shared/platform/redis/state.ts'
import { until } from '../../../support/eventually.ts'
import { exampleCalibration, NOBODY } from '../../../support/fixtures.ts'
import { withTestRedis, throughPort } from '../../../support/redis.ts'
import { branchedModel, register } from '../../support/toy-models.ts'

const toy = branchedModel('a')
const log = createLog('test', 'silent')
const never = new AbortController().signal
const redis = withTestRedis()

it('a calibration that ends while Redis is away is on record as ended once Redis is back', async () => {
  await register(redis().state, toy)
  const { model, structure } = toy
  const record = exampleCalibration('a-1', { model: model.id, shapesKey: structure.shapesKey })
  await redis().state.calibrations.put(record.id, record)
  const target = { host: '127.0.0.1', port: Number(new URL(redis().url).port) }
  const emulator = await startLinkEmulator([
    { name: 'redis', target, rttMs: 0, upMbps: null, downMbps: null },
  ])
  const away = openState(producerConnection(throughPort(redis().url, emulator.ports['redis']), log))
  await once(away.redis, 'ready')
  const store = {
    open: async () => {
      await emulator.cut('redis', 'reset')
      await until(async () => away.redis.status !== 'ready')
      throw new Error('no room for it')
    },
  }
  const options = { threads: 1, optimisation: 'all' as const }
  const deps = { state: away, store, options, benchmarkUrl: NOBODY, log }
  const job = { updateProgress: () => Promise.resolve() }
  const worked = workCalibration(deps, job, record.id, { signal: never, stopping: never })
  await until(async () => away.redis.status !== 'ready')
  await expect(away.redis.ping()).rejects.toThrow()
  await emulator.restore('redis')
  expect(await worked).toBe(record.id)
  expect(await redis().state.calibrations.need(record.id)).toMatchObject({
    state: 'failed',
    error: 'no room for it',
  })
  away.redis.disconnect()
  await emulator.close()
})
