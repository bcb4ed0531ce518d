/** Redis loses all that it holds while the system runs: it comes back, and requests to deployments never notice. */
import { execFileSync } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPlannerClient, type PlannerClient } from '../../shared/client/planner.ts'
import type { BenchmarkClient, UploadedModel } from '../../shared/client/benchmark.ts'
import type { TensorSpec } from '../../shared/contracts/common.ts'
import { CHANGES_CHANNEL } from '../../shared/platform/redis/changes.ts'
import { linkId, type State } from '../../shared/platform/redis/state.ts'
import { call } from '../inference/support/service.ts'
import { FORGETFUL, ForgetfulRedis } from '../redis/forgetful-server.ts'
import { eventually } from '../support/eventually.ts'
import { exampleCalibration, exampleResource } from '../support/fixtures.ts'
import { withFolder } from '../support/folder.ts'
import { startBenchmark, type StartedBenchmark, type StartedPlanner } from '../support/services.ts'
import { type SmallSystem, startSmallSystem } from '../support/small-system.ts'
import { ownFile } from '../support/test-models.ts'
import { measured } from '../support/measured.ts'
import { JSON_TYPE } from '../support/json-type.ts'

const MACHINES = ['device', 'edge']
const OVERRIDE = { rttMs: 77, bandwidthMbps: 5 }
const CALIBRATION = (model: string) => `${model.slice(0, 12)}-bbbbbbbbbbbb`

describe.each(FORGETFUL)('a Redis ($kind) that loses its memory', ({ kind, skip }) => {
  const folder = withFolder('lost-memory')
  let redis: ForgetfulRedis
  let system: SmallSystem
  let state: State
  let benchmark: StartedBenchmark
  let planner: StartedPlanner
  let machines: SmallSystem['machines']
  let plans: PlannerClient
  let client: BenchmarkClient
  let model: UploadedModel

  beforeAll(async () => {
    if (skip) return
    redis = await ForgetfulRedis.start(kind)
    system = await startSmallSystem(redis.url, folder(), MACHINES)
    ;({ state, benchmark, planner, machines } = system)
    client = benchmark.client
    plans = createPlannerClient(planner.url)
    await prepare()
  })
  afterAll(async () => {
    await system?.stop()
    await redis?.close()
  })

  /** A model that was measured and deployed, and one that was deleted. */
  async function prepare(): Promise<void> {
    model = await client.uploadModel(ownFile('digits-cnn.onnx'), 'digits')
    const other = await client.uploadModel(ownFile('residual-cnn.onnx'), 'deleted')
    await measured(client, { model: 'digits', resources: MACHINES })
    await client.deleteModel(other.id)
    const calibration = CALIBRATION(model.id)
    const { shapesKey } = await client.structure('digits')
    await state.calibrations.put(
      calibration,
      exampleCalibration(calibration, { model: model.id, shapesKey, state: 'completed' }),
    )
    await state.resources.put('abroad', exampleResource('cloud', { name: 'abroad', source: 'imported' }))
    const overridden = await fetch(`${planner.url}/v1/links/device/edge`, {
      method: 'PUT',
      headers: JSON_TYPE,
      body: JSON.stringify(OVERRIDE),
    })
    expect(overridden.status).toBe(200)
    await eventually(async () => {
      const answer = await plans.plans({ model: 'digits', minStages: 2 })
      const plan = answer.plans[0]?.id ?? ''
      await plans.deploy({ plan, name: 'sturdy' })
    })
    await eventually(async () => expect((await plans.deployment('sturdy')).state).toBe('ready'))
    // Its first request loads nothing, but fills what the service remembers of the model.
    expect((await ask('digits')).status).toBe(200)
  }

  const ask = async (name: string) => {
    const url = `${machines.get('device')?.url}/v2/models/${name}`
    const { inputs } = (await client.structure('digits')) as { inputs: TensorSpec[] }
    const [input] = inputs
    return call('POST', `${url}/infer`, new Uint8Array(input?.bytes ?? 0), {
      'Inference-Header-Content-Length': '0',
    })
  }

  /** Ids of all that should come back, by kind. */
  const held = async () => ({
    models: await state.models.ids(),
    structures: await state.structures.ids(),
    resources: await state.resources.ids(),
    links: await state.links.ids(),
    profiles: await state.profiles.ids(),
    deployments: await state.deployments.ids(),
    calibrations: await state.calibrations.ids(),
  })

  /** Asks the deployment and the model all the while. */
  function keepAsking() {
    const stopping = new AbortController()
    const failed: string[] = []
    let answered = 0
    const body = new Uint8Array(inputBytes)
    const askOne = async (name: string) => {
      const url = `${machines.get('device')?.url}/v2/models/${name}/infer`
      const answer = await call('POST', url, body, { 'Inference-Header-Content-Length': '0' })
      if (answer.status === 200) answered += 1
      else failed.push(`${name}: ${answer.status} ${answer.body.toString()}`)
    }
    const done = (async () => {
      while (!stopping.signal.aborted) {
        await askOne('sturdy')
        await askOne('digits')
      }
    })()
    return {
      stop: async () => {
        stopping.abort()
        await done
        return { failed, answered }
      },
    }
  }
  let inputBytes = 0

  const losses = [
    ['FLUSHALL', () => state.redis.flushall()],
    ['a restart', () => redis.startAgain()],
  ] as const

  it.skipIf(skip).each(losses)('by %s has it written back, without a request lost', async (_how, lose) => {
    const { inputs } = await client.structure('digits')
    inputBytes = inputs[0]?.bytes ?? 0
    const before = await held()
    expect(before).toMatchObject({ models: [model.id], deployments: ['sturdy'], links: ['device>edge'] })
    expect(before.resources).toEqual(['abroad', ...MACHINES])
    expect(before.profiles).toHaveLength(2)
    const deployment = await state.deployments.need('sturdy')
    const asking = keepAsking()
    await lose()
    await eventually(async () => expect(await held()).toEqual(before))
    const { failed, answered } = await asking.stop()
    expect(failed).toEqual([])
    expect(answered).toBeGreaterThan(0)
    expect(await state.deployments.need('sturdy')).toEqual(deployment)
    expect(await state.links.need(linkId('device', 'edge'))).toMatchObject({
      ...OVERRIDE,
      source: 'override',
    })
    await eventually(async () => {
      const answer = await plans.plans({ model: 'digits', minStages: 2 })
      expect(answer.plans.length).toBeGreaterThan(0)
    })
    // What came back, and what did not, is shown to an operator by each service once it has looked.
    for (const { url } of [benchmark, planner, ...machines.values()])
      await eventually(async () =>
        expect((await call('GET', `${url}/healthz`)).json).toMatchObject({
          redisLost: { noticedAt: expect.any(String), restored: expect.anything() },
        }),
      )
    const { json } = await call('GET', `${benchmark.url}/healthz`)
    expect(json).toMatchObject({ redisLost: { restored: { models: 1, profiles: 2, calibrations: 1 } } })
    expect(JSON.stringify(json)).toContain('benchmarks')
    // Measuring goes on as well.
    await measured(client, { model: 'digits', resources: ['edge'], force: true })
  })

  it.skipIf(skip)('does not bring back what is deleted while it is being written back', async () => {
    await state.redis.flushall()
    await state.calibrations.delete(CALIBRATION(model.id))
    await eventually(async () => expect(await state.models.ids()).toEqual([model.id]))
    await eventually(async () => expect(await state.profiles.ids()).toHaveLength(2))
    await state.redis.ping()
    expect(await state.calibrations.ids()).toEqual([])
  })

  /** Starts a benchmark service that can read the mark of the memory it knew only when it has been connected for long. */
  async function afterMark<T>(start: () => Promise<T>): Promise<T> {
    const file = path.join(folder(), 'benchmark', 'redis-memory')
    const mark = await readFile(file, 'utf8')
    await rm(file)
    execFileSync('mkfifo', [file])
    const started = start()
    await setTimeout(500)
    await writeFile(file, mark)
    return started
  }

  it.skipIf(skip)('keeps its files of what was lost before anybody noticed', async () => {
    const profiles = await state.profiles.ids()
    await state.redis.flushall()
    // As a write that was announced right before the loss, and is read after it.
    for (const id of profiles)
      await state.redis.publish(CHANGES_CHANNEL, JSON.stringify({ kind: 'profiles', id }))
    await eventually(async () => expect(await state.profiles.ids()).toEqual(profiles))
  })

  it.skipIf(skip)('has profiles written back by a benchmark service that starts anew', async () => {
    const profiles = await state.profiles.ids()
    await benchmark.close()
    await state.redis.flushall()
    const again = await startBenchmark({
      REDIS_URL: redis.url,
      SCISSION_DATA: path.join(folder(), 'benchmark'),
    })
    await eventually(async () => expect(await state.profiles.ids()).toEqual(profiles))
    await again.close()
    await state.redis.flushall()
    // Redis may answer before the disk does.
    const slow = await afterMark(() =>
      startBenchmark({ REDIS_URL: redis.url, SCISSION_DATA: path.join(folder(), 'benchmark') }),
    )
    await eventually(async () => expect(await state.profiles.ids()).toEqual(profiles))
    await slow.close()
    // One that is deleted while no benchmark service is there stays deleted.
    await state.profiles.delete(profiles[0] ?? '')
    await state.redis.del(`scission:deleted:profiles:${profiles[0]}`)
    system.benchmark = benchmark = await startBenchmark({
      REDIS_URL: redis.url,
      SCISSION_DATA: path.join(folder(), 'benchmark'),
    })
    expect(await state.profiles.ids()).toEqual(profiles.slice(1))
  })
})
