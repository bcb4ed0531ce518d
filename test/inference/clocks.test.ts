/** Machines whose clocks are wrong: who is alive, and how old something is, is told by Redis' clock alone. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { OpenRedis } from '../../infra/start/redis/open-redis.ts'
import type { ManagedProcess } from '../../infra/start/processes/process.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { createPlannerClient } from '../../shared/client/planner.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, structureId } from '../../shared/platform/redis/state.ts'
import { TEST_SERVERS } from '../redis/servers.ts'
import { eventually } from '../support/eventually.ts'
import { exampleModel, exampleStructure } from '../support/fixtures.ts'
import { withFolder } from '../support/folder.ts'
import { crash, startServiceProcess } from '../support/service-process.ts'
import { JSON_TYPE } from '../support/json-type.ts'

const SECOND = 1000
const HOUR = 3_600 * SECOND

/** Name of a machine → how far its clock is ahead. */
const CLOCKS = { right: 0, behind: -10 * SECOND, ahead: HOUR, dying: 600 * SECOND }

const folder = withFolder('clocks')

describe.each(TEST_SERVERS)('with clocks that differ, on $name', ({ open, skip }) => {
  let redis: OpenRedis
  let planners: ManagedProcess[]
  let benchmark: ManagedProcess
  const machines = new Map<string, ManagedProcess>()

  beforeAll(async () => {
    if (skip) return
    redis = await open()
    const common = { REDIS_URL: redis.url, SCISSION_DATA: folder(), SCISSION_HEARTBEAT_MS: '500' }
    const start = async (name: string, clockMs: number) => {
      const env = { ...common, SCISSION_RESOURCE: name, SCISSION_TIER: 'device' }
      machines.set(name, await startServiceProcess('inference', env, clockMs))
    }
    const starting = Object.entries(CLOCKS).map(([name, clockMs]) => start(name, clockMs))
    planners = await Promise.all([
      startServiceProcess('planner', common, -HOUR),
      startServiceProcess('planner', common, HOUR),
    ])
    benchmark = await startServiceProcess('benchmark', common, HOUR)
    await Promise.all(starting)
  })
  afterAll(async () => {
    const all = [...machines.values(), ...(planners ?? []), ...(benchmark ? [benchmark] : [])]
    await Promise.all(all.map((process) => process.stop()))
    await redis?.close()
  })

  const alive = async (planner: ManagedProcess) => {
    const resources = await createPlannerClient(planner.url).resources()
    return resources.filter((one) => one.alive).map(({ name }) => name)
  }

  it.skipIf(skip)(
    'every machine that runs is alive, and one that died is not, to every planner',
    async () => {
      const names = Object.keys(CLOCKS).sort()
      for (const planner of planners)
        await eventually(async () => expect(await alive(planner)).toEqual(names))
      const dying = machines.get('dying')
      if (dying) await crash(dying)
      const left = names.filter((name) => name !== 'dying')
      for (const planner of planners) await eventually(async () => expect(await alive(planner)).toEqual(left))
    },
  )

  it.skipIf(skip)('a benchmark takes the machines that are alive, and refuses the dead one', async () => {
    const state = openState(producerConnection(redis.url))
    await new Promise((resolve) => state.redis.once('ready', resolve))
    const model = exampleModel()
    await state.models.put(model.id, model)
    await state.structures.put(structureId(model.id, exampleStructure().shapesKey), exampleStructure())
    const client = createBenchmarkClient(benchmark.url)
    const calibrate = (resource: string) =>
      fetch(`${benchmark.url}/v1/calibrations`, {
        method: 'POST',
        headers: JSON_TYPE,
        body: JSON.stringify({ model: model.id, resource, madeUp: { samples: 1, seed: 1 } }),
      })
    const refused = await calibrate('dying')
    expect(await refused.json()).toMatchObject({ error: { message: expect.stringContaining('is down') } })
    const started = (await (await calibrate('ahead')).json()) as { createdAt: string }
    // By Redis' clock, though the service is an hour ahead.
    expect(Math.abs(Date.parse(started.createdAt) - (await state.clock.read()))).toBeLessThan(HOUR / 2)
    await expect(client.startBenchmark({ model: model.id, resources: ['dying'] })).rejects.toThrow(/is down/)
    state.redis.disconnect()
  })
})
