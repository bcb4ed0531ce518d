/** The first request of a model that takes long to load holds up no other client of its machine. */
import path from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { Executor } from '../../services/inference/serving/executor/executor.ts'
import { postJson, startInference, type TestService, valuesOf } from '../inference/support/service.ts'
import { spec, type TinyModel, writeModel } from '../inference/tiny-models.ts'
import { doubling } from '../inference/executor/tiny-model-examples.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { withBenchmark } from '../support/services.ts'

/** More than a machine loads among others. */
const NODES = 8000
const long: TinyModel = {
  inputs: [spec('t0', 'FP32', [3])],
  outputs: [spec(`t${NODES}`, 'FP32', [3])],
  nodes: Array.from({ length: NODES }, (_, step) => ({
    op: 'Neg',
    inputs: [`t${step}`],
    outputs: [`t${step + 1}`],
  })),
}

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
  /** Of each load: requests that came and were answered while it went on. */
  const loads: { answered: number; over: boolean }[] = []
  const load = Executor.prototype.load
  vi.spyOn(Executor.prototype, 'load').mockImplementation(async function (this: Executor, ...args) {
    const counted = { answered: 0, over: false }
    loads.push(counted)
    try {
      return await load.apply(this, args)
    } finally {
      counted.over = true
    }
  })
  const first = ask('long', 't0')
  while (loads[0]?.over !== true) {
    const during = loads[0]
    expect(await ask('doubling', 'x')).toEqual([2, 4, 6])
    if (during?.over === false) during.answered += 1
  }
  expect(await first).toEqual([1, 2, 3])
  expect(loads).toHaveLength(1)
  expect(loads[0]?.answered).toBeGreaterThan(0)
}, 240_000)
