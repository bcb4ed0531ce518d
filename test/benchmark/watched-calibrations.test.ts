/** A calibration whose machine shows no sign of life fails; it would wait for ever. */
import { Queue } from 'bullmq'
import { beforeAll, expect, it } from 'vitest'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { queueOptions, resourceQueue, stopKey } from '../../shared/platform/redis/queues.ts'
import { structureId } from '../../shared/platform/redis/state.ts'
import { eventually } from '../support/eventually.ts'
import { exampleModel, exampleResource, exampleStructure } from '../support/fixtures.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { withBenchmark } from '../support/services.ts'
import { JSON_TYPE } from '../support/json-type.ts'

const redis = withTestRedis()
const folder = withFolder('watched')
const benchmark = withBenchmark(() => ({
  REDIS_URL: redis().url,
  SCISSION_DATA: folder(),
  SCISSION_BENCHMARK_TIMEOUT_MS: '1500',
}))
const model = exampleModel()

beforeAll(async () => {
  const { state } = redis()
  const structure = exampleStructure()
  await state.models.put(model.id, model)
  await state.structures.put(structureId(model.id, structure.shapesKey), structure)
  for (const name of ['edge', 'cloud']) {
    const heartbeatAt = new Date(Date.now() + 3_600_000).toISOString()
    await state.resources.put(name, exampleResource(name, { heartbeatAt }))
  }
})

const start = async (resource: string) => {
  const answer = await fetch(`${benchmark().url}/v1/calibrations`, {
    method: 'POST',
    headers: JSON_TYPE,
    body: JSON.stringify({ model: model.id, resource, madeUp: { samples: 1, seed: 1 } }),
  })
  expect(answer.status).toBe(202)
  return ((await answer.json()) as { id: string }).id
}
const read = async (id: string) => (await fetch(`${benchmark().url}/v1/calibrations/${id}`)).json()

it('fails with the reason, leaves the queue, and its worker is told', async () => {
  const id = await start('cloud')
  await eventually(async () =>
    expect(await read(id)).toMatchObject({
      state: 'failed',
      error: 'resource cloud showed no sign of life for 1500 ms (state: waiting)',
      endedAt: expect.any(String),
    }),
  )
  const { redis: connection } = redis().state
  await eventually(async () => expect(await connection.get(stopKey(id, 'cloud'))).toMatch(/no sign of life/))
  const queue = new Queue(resourceQueue('cloud'), queueOptions(producerConnection(redis().url)))
  await eventually(async () => expect(await queue.getJob(id)).toBeUndefined())
  await queue.close()
  await eventually(async () =>
    expect(await connection.smembers('scission:calibrations-under-way')).toEqual([]),
  )
})

it('is not kept from it by a record that cannot be read', async () => {
  const { state } = redis()
  await state.redis.sadd('scission:calibrations-under-way', 'broken')
  await state.redis.hset('scission:calibrations', 'broken', '{"id":')
  const id = await start('edge')
  await eventually(async () => expect(await read(id)).toMatchObject({ state: 'failed' }))
})
