/** Threads that are held up by a run that takes longer than its request waited: where others go, and what readiness says. */
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { createEngine } from '../../../services/inference/serving/engine.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { INFERENCE_SETTINGS, readConfig } from '../../../shared/platform/service/service-config.ts'
import { until } from '../../support/eventually.ts'
import { withFolder } from '../../support/folder.ts'
import { withTestRedis } from '../../support/redis.ts'
import { withBenchmark } from '../../support/services.ts'
import { call, errorOf, postJson, startInference } from '../support/service.ts'
import { floats, type TinyModel, writeModel } from '../tiny-models.ts'
import { useExecutor } from './executor-of-tiny-models.ts'
import { doubling, matrix, slow, three } from './tiny-model-examples.ts'

const used = useExecutor()

describe('a thread that is held up', () => {
  it('gets no more runs while there is another', async () => {
    used.start({ executors: 2, slowdown: 500, overrunMs: 600_000 })
    const [long, short] = [await used.loadModel(slow), await used.loadModel(doubling)]
    // Both threads have the short one, and one that is under way and one that is sent behind it on the first.
    await Promise.all([1, 2].map(() => used.executor.run(short, [three()])))
    const late = used.executor.run(long, [matrix()], { deadline: performance.now() + 300 })
    await expect(late).rejects.toMatchObject({ code: 'deadlineExceeded' })
    for (let run = 0; run < 5; run += 1) {
      const { outputs } = await used.executor.run(short, [three()])
      expect(floats(outputs[0])).toEqual([2, 4, 6])
    }
    expect(used.executor.heldUpMs()).toBe(0)
    expect(used.executor.stats().threads.filter(({ running }) => running)).toHaveLength(1)
  })
})

describe('a run that begins in the moment in which it is given up', () => {
  it('does not hold up its thread for ever', async () => {
    used.start({ slowdown: 500, overrunMs: 100 })
    const [long, short] = [await used.loadModel(slow), await used.loadModel(doubling)]
    // Both are at the thread, which begins the second one while this one is too busy to hear of it; if not, once more.
    for (let busyMs = 200; ; busyMs *= 2) {
      const leaving = new AbortController()
      const first = used.executor.run(short, [three()])
      const second = used.executor.run(long, [matrix()], { signal: leaving.signal })
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, busyMs)
      leaving.abort()
      await expect(second).rejects.toMatchObject({ code: 'cancelled' })
      await first
      const behind = await used.executor.run(short, [three()]).catch(coerceError)
      if (!(behind instanceof Error)) continue
      expect(behind).toMatchObject({ code: 'overloaded', message: expect.stringMatching(/new thread/) })
      break
    }
    expect(used.executor.stats().threads[0]?.restarts).toBe(1)
    expect(floats((await used.executor.run(short, [three()])).outputs[0])).toEqual([2, 4, 6])
  })
})

describe('a stage with a thread of its own that is held up', () => {
  it('keeps neither its unloading waiting when the executor is closed, nor goes on unnoticed', async () => {
    used.start({ slowdown: 50_000, overrunMs: 600_000 })
    const stage = await used.loadModel(slow, [], 'threads of its own')
    await expect(
      used.executor.run(stage, [matrix()], { deadline: performance.now() + 500 }),
    ).rejects.toMatchObject({ code: 'deadlineExceeded' })
    const unloading = used.executor.unload(stage).catch(coerceError)
    expect(used.executor.hung).toBe(true)
    await used.executor.close()
    expect(await unloading).toMatchObject({ code: 'notReady' })
    expect(used.executor.hung).toBe(false)
  })
})

describe('a service whose threads are all held up', () => {
  const folder = withFolder('held-up')
  const redis = withTestRedis()
  const benchmark = withBenchmark(() => ({
    REDIS_URL: redis().url,
    SCISSION_DATA: path.join(folder(), 'benchmark'),
  }))
  const request = ({ inputs }: TinyModel) => ({
    inputs: inputs.map(({ name, shape, bytes }) => ({
      name,
      shape,
      datatype: 'FP32',
      data: Array.from({ length: bytes / 4 }, () => 1),
    })),
  })

  it('is not ready and says why, until a run ends', async () => {
    for (const [name, model] of Object.entries({ slow, doubling })) {
      const file = path.join(folder(), `${name}.onnx`)
      writeModel(file, model)
      await benchmark().client.uploadModel(file, name)
    }
    const env = {
      SCISSION_RESOURCE: 'device',
      SCISSION_DATA: path.join(folder(), 'device'),
      SCISSION_BENCHMARK_URL: benchmark().url,
      // A run takes some seconds.
      SCISSION_SLOWDOWN: '1000',
    }
    const config = readConfig(INFERENCE_SETTINGS, { REDIS_URL: redis().url, ...env })
    const engine = createEngine(config, createLog('test', 'silent'), {
      overrunMs: 600_000,
      heldUpAfterMs: 100,
    })
    const service = await startInference(redis().url, env, engine)
    const isReady = async () => {
      const [ready, protocol] = [
        await call('GET', `${service.url}/readyz`),
        await call('GET', `${service.url}/v2/health/ready`),
      ]
      return [ready.status, protocol.status, protocol.status === 200 ? '' : errorOf(protocol.json)]
    }
    try {
      const url = (model: string) => `${service.url}/v2/models/${model}/infer`
      expect((await postJson(url('doubling'), request(doubling))).status).toBe(200)
      expect((await postJson(url('slow'), { ...request(slow), parameters: { timeout: 1 } })).status).toBe(504)
      // Loaded by now.
      await until(async () => (await call('GET', `${service.url}/v2/models/slow/ready`)).status === 200)
      expect(await isReady()).toEqual([200, 200, ''])
      const late = postJson(url('slow'), { ...request(slow), parameters: { timeout: 500_000 } })
      expect((await late).status).toBe(504)
      await until(async () => engine.executor.heldUpMs() > 0)
      const why = expect.stringMatching(/no executor answers since \d+ s: .* longer than its request waited/)
      expect(await isReady()).toEqual([503, 503, why])
      await until(async () => engine.executor.heldUpMs() === 0)
      expect(await isReady()).toEqual([200, 200, ''])
      expect((await postJson(url('doubling'), request(doubling))).status).toBe(200)
    } finally {
      await service.stop()
    }
  })
})
