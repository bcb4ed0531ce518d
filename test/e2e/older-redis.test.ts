/** Redis crashes and comes back with a snapshot of some time ago: what the services acknowledged since is there again. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPlannerClient, type PlannerClient } from '../../shared/client/planner.ts'
import { linkId } from '../../shared/platform/redis/state.ts'
import { call } from '../inference/support/service.ts'
import { PersistentRedis, REAL_SERVER } from '../redis/persistent-server.ts'
import { eventually } from '../support/eventually.ts'
import { withFolder } from '../support/folder.ts'
import { type SmallSystem, startSmallSystem } from '../support/small-system.ts'
import { ownFile } from '../support/test-models.ts'
import { measured } from '../support/measured.ts'
import { JSON_TYPE } from '../support/json-type.ts'

if (REAL_SERVER === undefined) console.log('skipped: no valkey-server or redis-server on the PATH')

describe.skipIf(REAL_SERVER === undefined)('a Redis with older data', () => {
  const folder = withFolder('older-redis')
  let redis: PersistentRedis
  let system: SmallSystem
  let plans: PlannerClient

  beforeAll(async () => {
    redis = await PersistentRedis.start()
    system = await startSmallSystem(redis.url, folder(), ['device', 'edge'])
    plans = createPlannerClient(system.planner.url)
  })
  afterAll(async () => {
    await system?.stop()
    await redis?.close()
  })

  it('gets back profiles, links and deployments, and nothing is forgotten on disk', async () => {
    const { state, benchmark, planner, machines } = system
    const uploaded = await benchmark.client.uploadModel(ownFile('digits-cnn.onnx'), 'digits')
    const snapshot = redis.snapshot()

    await measured(benchmark.client, { model: 'digits', resources: ['device', 'edge'] })
    const override = { rttMs: 77, bandwidthMbps: 5 }
    const put = await fetch(`${planner.url}/v1/links/device/edge`, {
      method: 'PUT',
      headers: JSON_TYPE,
      body: JSON.stringify(override),
    })
    expect(put.status).toBe(200)
    const answer = await plans.plans({ model: 'digits', minStages: 2 })
    await plans.deploy({ plan: answer.plans[0]?.id ?? '', name: 'fresh' })
    await eventually(async () => expect((await plans.deployment('fresh')).state).toBe('ready'))
    const profiles = await state.profiles.ids()
    const deployment = await state.deployments.need('fresh')
    const { inputs } = await benchmark.client.structure('digits')
    const ask = () =>
      call(
        'POST',
        `${machines.get('device')?.url}/v2/models/fresh/infer`,
        new Uint8Array(inputs[0]?.bytes ?? 0),
        { 'Inference-Header-Content-Length': '0' },
      )
    expect((await ask()).status).toBe(200)

    await redis.kill()
    await redis.startAgain(snapshot)
    expect((await ask()).status).toBe(200)
    await eventually(async () => expect(await state.deployments.need('fresh')).toEqual(deployment))
    await eventually(async () => expect(await state.profiles.ids()).toEqual(profiles))
    await eventually(async () =>
      expect(await state.links.need(linkId('device', 'edge'))).toMatchObject(override),
    )
    expect(await state.models.ids()).toEqual([uploaded.id])
    for (const { url } of [benchmark, planner, ...machines.values()])
      await eventually(async () =>
        expect((await call('GET', `${url}/healthz`)).json).toMatchObject({
          redisLost: { notRestored: expect.arrayContaining([expect.stringContaining('came back')]) },
        }),
      )

    // The disk of the benchmark service still has them: they come back once more from an empty Redis.
    await state.redis.flushall()
    await eventually(async () => expect(await state.profiles.ids()).toEqual(profiles))
  })
})
