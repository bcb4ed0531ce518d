/** The first request of a model that takes long to load holds up no other client of its machine. */
import path from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { Executor } from '../../services/inference/serving/executor/executor.ts'
import { postJson, startInference, type TestService, valuesOf } from '../inference/support/service.ts'
import { writeModel } from '../inference/tiny-models.ts'
import { doubling, negations } from '../inference/executor/tiny-model-examples.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { withBenchmark } from '../support/services.ts'

/** More than a machine loads among others. */
const NODES = 8000
const long = negations(NODES)

const folder = withFolder('large-model')
const redis = withTestRedis()
const benchmark = withBenchmark(() => ({
  REDIS_URL: redis().url,
  SCISSION_DATA: path.join(folder(), 'benchmark'),
}))
let device: TestService

beforeAll(async () => {
  for (const [name, model] of Object.entries({ long, doubling })) {
    const file = path.join(folder(), `${name}.onnx`)
    writeModel(file, model)
    await benchmark().client.uploadModel(file, name)
  }
  device = await startInference(redis().url, {
    SCISSION_RESOURCE: 'device',
    SCISSION_TIER: 'device',
    SCISSION_DATA: path.join(folder(), 'device'),
    SCISSION_BENCHMARK_URL: benchmark().url,
    SCISSION_EXECUTORS: '1',
  })
}, 240_000)
afterAll(() => device?.stop())

it('is answered while others are, whose requests come when its load has begun', async () => {
  const ask = async (model: string, name: string) => {
    const inputs = [{ name, datatype: 'FP32', shape: [3], data: [1, 2, 3] }]
    return valuesOf((await postJson(`${device.url}/v2/models/${model}/infer`, { inputs })).json)
  }
  expect(await ask('doubling', 'x')).toEqual([2, 4, 6])
  const load = vi.spyOn(Executor.prototype, 'load')
  const state = () => load.mock.settledResults[0]?.type
  const first = ask('long', 't0')
  /** Requests that came and were answered while the load went on. */
  let answered = 0
  while (state() === undefined || state() === 'incomplete') {
    const before = state()
    expect(await ask('doubling', 'x')).toEqual([2, 4, 6])
    if (before === 'incomplete' && state() === 'incomplete') answered += 1
  }
  expect(await first).toEqual([1, 2, 3])
  expect(load).toHaveBeenCalledOnce()
  expect(answered).toBeGreaterThan(0)
}, 240_000)
