/** Requests whose values ask for a run without end, or for all memory, beside others: on one machine, and at a second hop. */
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ManagedProcess } from '../../infra/start/processes/process.ts'
import { createEngine, type Engine } from '../../services/inference/serving/engine.ts'
import { createLog } from '../../shared/platform/log.ts'
import { isRunning } from '../../shared/platform/processes/process-identity.ts'
import { INFERENCE_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { childrenOf } from '../support/children.ts'
import { until } from '../support/eventually.ts'
import { exampleDeployment, hop } from '../support/fixtures.ts'
import { withFolder } from '../support/folder.ts'
import { kill } from '../support/kill.ts'
import { withTestRedis } from '../support/redis.ts'
import { startServiceProcess } from '../support/service-process.ts'
import { withBenchmark } from '../support/services.ts'
import { counting, doubling, looping } from './executor/tiny-model-examples.ts'
import { call, errorOf, postJson, startInference, type TestService, valuesOf } from './support/service.ts'
import { spec, type TinyModel, writeModel } from './tiny-models.ts'

/** As `looping`, with a layer before it: cut behind that, the Loop is at the second hop. */
const chained: TinyModel = {
  ...looping,
  nodes: [
    { op: 'Abs', inputs: ['x'], outputs: ['positive'] },
    ...looping.nodes.map((node) => ({ ...node, inputs: ['trips', 'go', 'positive'] })),
  ],
  inputs: [...looping.inputs.slice(0, 2), spec('x', 'FP32', [1])],
}
const ENDLESS = 10 ** 15
const MS = 1000

const loopRequest = (trips: number, timeoutMs?: number) => ({
  inputs: [
    { name: 'trips', datatype: 'INT64', shape: [], data: [trips] },
    { name: 'go', datatype: 'BOOL', shape: [], data: [true] },
    { name: 'x', datatype: 'FP32', shape: [1], data: [1] },
  ],
  ...(timeoutMs !== undefined && { parameters: { timeout: timeoutMs * MS } }),
})
const count = (most: number) => ({
  inputs: Object.entries({ first: 0, count: most, step: 1 }).map(([name, value]) => ({
    name,
    datatype: 'INT64',
    shape: [],
    data: [value],
  })),
})
const three = { inputs: [{ name: 'x', datatype: 'FP32', shape: [3], data: [1, 2, 3] }] }

const folder = withFolder('runaway')
const redis = withTestRedis()
const benchmark = withBenchmark(() => ({
  REDIS_URL: redis().url,
  SCISSION_DATA: path.join(folder(), 'benchmark'),
}))
const settingsOf = (name: string) => ({
  SCISSION_RESOURCE: name,
  SCISSION_TIER: name,
  SCISSION_DATA: path.join(folder(), name),
  SCISSION_BENCHMARK_URL: benchmark().url,
  SCISSION_LINK_INTERVAL_MS: '3600000',
})

beforeAll(async () => {
  for (const [name, model] of Object.entries({ looping, counting, doubling, chained })) {
    const file = path.join(folder(), `${name}.onnx`)
    writeModel(file, model)
    await benchmark().client.uploadModel(file, name)
  }
}, 120_000)

describe('on a machine', () => {
  const services = new Map<string, TestService>()
  const engines = new Map<string, Engine>()
  const at = (model: string, name = 'device') => `${services.get(name)?.url}/v2/models/${model}/infer`
  const running = (name = 'device') =>
    engines
      .get(name)
      ?.executor.stats()
      .processes.some((stage) => stage.running) ?? false
  const isReady = async (name = 'device') => [
    (await call('GET', `${services.get(name)?.url}/readyz`)).status,
    (await call('GET', `${services.get(name)?.url}/v2/health/ready`)).status,
  ]

  const start = async (name: string) => {
    const env = { REDIS_URL: redis().url, SCISSION_PORT: '0', ...settingsOf(name) }
    const engine = createEngine(readConfig(INFERENCE_SETTINGS, env), createLog('test', 'silent'))
    engines.set(name, engine)
    services.set(name, await startInference(redis().url, settingsOf(name), engine))
  }
  beforeAll(() => Promise.all(['device', 'edge'].map(start)))
  afterAll(() => Promise.all([...services.values()].map((service) => service.stop())))

  it('a Loop of 10^15 turns ends at its deadline, and others are answered beside and behind it', async () => {
    expect(valuesOf((await postJson(at('looping'), loopRequest(3))).json)).toEqual([8])
    expect(valuesOf((await postJson(at('doubling'), three)).json)).toEqual([2, 4, 6])
    const client = new AbortController()
    const body = JSON.stringify(loopRequest(ENDLESS))
    const endless = call('POST', at('looping'), body, {}, client.signal).catch(() => undefined)
    await until(async () => running())
    expect(valuesOf((await postJson(at('doubling'), three)).json)).toEqual([2, 4, 6])
    expect(valuesOf((await postJson(at('looping'), loopRequest(2))).json)).toEqual([4])
    expect(await isReady()).toEqual([200, 200])
    // A client that leaves takes its run with it.
    client.abort()
    await endless
    await until(async () => !running())
    const late = await postJson(at('looping'), loopRequest(ENDLESS, 300))
    expect([late.status, errorOf(late.json)]).toEqual([504, expect.stringContaining('deadline')])
    expect(valuesOf((await postJson(at('looping'), loopRequest(1))).json)).toEqual([2])
    expect(await isReady()).toEqual([200, 200])
  })

  it('outputs whose size the values tell are bounded, and leave no memory behind', async () => {
    expect(valuesOf((await postJson(at('counting'), count(4))).json)).toEqual([0, 1, 2, 3])
    const before = process.memoryUsage().rss
    const answer = await postJson(at('counting'), count(10 ** 8))
    expect([answer.status, errorOf(answer.json)]).toEqual([
      413,
      expect.stringMatching(/800000000 bytes.*SCISSION_MAX_BODY_BYTES|SCISSION_TRIAL_MEMORY_BYTES/),
    ])
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20)
    expect(valuesOf((await postJson(at('counting'), count(2))).json)).toEqual([0, 1])
  })

  it('a model is unloaded while its Loop runs, and can be loaded again', async () => {
    const url = `${services.get('device')?.url}/v2/repository/models/looping`
    const endless = postJson(at('looping'), loopRequest(ENDLESS, 2000))
    await until(async () => running())
    expect((await call('POST', `${url}/unload`)).status).toBe(200)
    expect((await endless).status).toBe(504)
    await until(async () => engines.get('device')?.executor.stats().processes.length === 1)
    expect((await postJson(at('looping'), loopRequest(1))).status).toBe(503)
    expect((await call('POST', `${url}/load`)).status).toBe(200)
    expect(valuesOf((await postJson(at('looping'), loopRequest(1))).json)).toEqual([2])
  })

  it('a Loop at the second hop of a deployment ends too, and harms no other request', async () => {
    const { client } = benchmark()
    const { shapesKey, layers } = await client.structure('chained')
    expect(layers.map(({ op }) => op)).toEqual(['Abs', 'Loop'])
    const { id } = await client.model('chained')
    const deployment = exampleDeployment('split', [hop('device', 0, 1), hop('edge', 1, 2)], {
      model: id,
      shapesKey,
      entry: { resource: 'device', url: services.get('device')?.url ?? '' },
      fallback: 'none',
    })
    await redis().state.deployments.put('split', deployment)
    for (const name of ['device', 'edge']) {
      const put = `${services.get(name)?.url}/v1/deployments/split`
      expect((await call('PUT', put, JSON.stringify(deployment))).status).toBe(200)
    }
    expect(valuesOf((await postJson(at('split'), loopRequest(3))).json)).toEqual([8])
    const endless = postJson(at('split'), loopRequest(ENDLESS, 3000))
    await until(async () => running('edge'))
    expect(running('device')).toBe(false)
    expect(valuesOf((await postJson(at('split'), loopRequest(2))).json)).toEqual([4])
    expect((await endless).status).toBe(504)
    await until(async () => !running('edge'))
    expect(valuesOf((await postJson(at('split'), loopRequest(1))).json)).toEqual([2])
    expect(await isReady('edge')).toEqual([200, 200])
  })
})

describe('a service that is told to end while a Loop runs', () => {
  const loaded = async (service: ManagedProcess) => {
    const url = `${service.url}/v2/models/looping/infer`
    expect(valuesOf((await postJson(url, loopRequest(1))).json)).toEqual([2])
    return url
  }

  it('ends in order, before its time is up', async () => {
    const env = { REDIS_URL: redis().url, ...settingsOf('ended'), SCISSION_TIER: 'device' }
    const service = await startServiceProcess('inference', env)
    const url = await loaded(service)
    const endless = postJson(url, loopRequest(ENDLESS)).catch(() => undefined)
    await until(async () => /scission_executor_running 1/.test(await metricsOf(service)))
    kill(service, 'SIGTERM')
    // The signal would be SIGKILL if it had not closed in time.
    expect(await service.exited).toMatchObject({ code: 0, signal: null })
    expect((await endless)?.status).toBe(503)
  })

  it.skipIf(process.platform !== 'linux')('takes its processes with it when it is killed', async () => {
    const env = { REDIS_URL: redis().url, ...settingsOf('killed'), SCISSION_TIER: 'device' }
    const service = await startServiceProcess('inference', env)
    const url = await loaded(service)
    const endless = postJson(url, loopRequest(ENDLESS)).catch(() => undefined)
    await until(async () => /scission_executor_running 1/.test(await metricsOf(service)))
    const pids = childrenOf(service.pid ?? 0, 'process-worker')
    expect(pids.length).toBeGreaterThan(0)
    kill(service)
    await endless
    await until(async () => pids.every((pid) => !isRunning({ pid, processStart: '' })))
  })
})

const metricsOf = async ({ url }: ManagedProcess) => (await call('GET', `${url}/metrics`)).body.toString()
