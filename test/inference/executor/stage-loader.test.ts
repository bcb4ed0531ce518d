import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Executor } from '../../../services/inference/serving/executor/executor.ts'
import { StageLoader } from '../../../services/inference/serving/executor/stage-loader.ts'
import { RangeStore } from '../../../services/inference/ranges/range-store.ts'
import { PATIENCE_MS } from '../../support/patience.ts'
import { RangeServer } from '../ranges/range-server.ts'
import { floats, fp32, spec, type TinyModel, writeModel } from '../tiny-models.ts'

const doubling: TinyModel = {
  inputs: [spec('x', 'FP32', [3])],
  outputs: [spec('y', 'FP32', [3])],
  nodes: [{ op: 'Add', inputs: ['x', 'x'], outputs: ['y'] }],
}
const three = () => fp32('x', [3], [1, 2, 3])

let folder: string
let server: RangeServer
let store: RangeStore
let executor: Executor
let loader: StageLoader

beforeEach(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-loader-'))
  const file = path.join(folder, 'source.onnx')
  writeModel(file, doubling)
  const onnx = fs.readFileSync(file)
  server = await new RangeServer(50_000, [
    { from: 0, to: 1, onnx, chunks: [0, 1] },
    { from: 1, to: 2, onnx: Buffer.from('no model'), chunks: [0] },
    { from: 1, to: 1, onnx: null, chunks: [] },
  ]).start()
  server.tamper = (manifest) =>
    manifest.onnx === null
      ? { ...manifest, inputs: doubling.inputs, outputs: doubling.inputs, passThrough: ['x'] }
      : { ...manifest, inputs: doubling.inputs, outputs: doubling.outputs }
  store = new RangeStore({ benchmarkUrl: server.url, folder })
  executor = new Executor({ executors: 1, queueLimit: 8 })
  loader = new StageLoader({
    store,
    executor,
    options: { threads: 1, optimisation: 'all' },
    trialTimeoutMs: PATIENCE_MS,
    trialMemoryBytes: 2 ** 31,
  })
})

afterEach(async () => {
  await executor.close()
  store.close()
  await server.stop()
  fs.rmSync(folder, { recursive: true })
})

describe('a stage loader', () => {
  it('fetches, tries and loads a range, so that it runs', async () => {
    const stage = await loader.acquire(server.key(0))
    expect(floats((await executor.run(stage, [three()])).outputs[0])).toEqual([2, 4, 6])
    expect(fs.existsSync(`${stage.path}.trial.json`)).toBe(true)
  })

  it('loads an empty range without any session', async () => {
    const stage = await loader.acquire(server.key(2))
    expect(floats((await executor.run(stage, [three()])).outputs[0])).toEqual([1, 2, 3])
    expect(executor.stats().threads[0]?.stages).toBe(0)
  })

  it('shares one stage between all who ask, and frees it after the last has given it back', async () => {
    const stages = await Promise.all([1, 2, 3].map(() => loader.acquire(server.key(0))))
    expect(new Set(stages).size).toBe(1)
    expect(server.seen.filter((request) => request.path.endsWith('/manifest'))).toHaveLength(1)
    const [stage] = stages
    if (stage === undefined) throw new Error('no stage')
    await loader.release(stage)
    await loader.release(stage)
    expect(floats((await executor.run(stage, [three()])).outputs[0])).toEqual([2, 4, 6])
    await loader.release(stage)
    await expect(executor.run(stage, [three()])).rejects.toMatchObject({ code: 'notReady' })
    await loader.release(stage)
    expect(executor.stats().stages).toEqual([])
  })

  it('loads a stage again after it was freed', async () => {
    await loader.release(await loader.acquire(server.key(0)))
    const stage = await loader.acquire(server.key(0))
    expect(floats((await executor.run(stage, [three()])).outputs[0])).toEqual([2, 4, 6])
  })

  it('keeps a model that does not load away from the executor, and can be asked again', async () => {
    for (const attempt of [1, 2]) {
      await expect(loader.acquire(server.key(1)), `attempt ${attempt}`).rejects.toMatchObject({
        code: 'invalidModel',
      })
    }
    expect(executor.stats()).toMatchObject({ stages: [], threads: [{ restarts: 0, stages: 0 }] })
  })

  it('passes on what the benchmark service refuses', async () => {
    await expect(loader.acquire({ ...server.key(0), to: 9 })).rejects.toMatchObject({ code: 'notFound' })
  })

  it('goes on for the others when one caller is gone', async () => {
    const caller = new AbortController()
    const [gone, stays] = [loader.acquire(server.key(0), caller.signal), loader.acquire(server.key(0))]
    caller.abort()
    await expect(gone).rejects.toMatchObject({ code: 'cancelled' })
    const stage = await stays
    await loader.release(stage)
    expect(executor.stats().stages).toEqual([])
  })

  it('stops when all callers are gone, and starts anew for the next one', async () => {
    const caller = new AbortController()
    const first = loader.acquire(server.key(0), caller.signal)
    server.fault = () => {
      caller.abort()
      return undefined
    }
    await expect(first).rejects.toMatchObject({ code: 'cancelled' })
    server.fault = () => undefined
    const stage = await loader.acquire(server.key(0))
    expect(floats((await executor.run(stage, [three()])).outputs[0])).toEqual([2, 4, 6])
    expect(executor.stats().stages).toMatchObject([{ references: 1 }])
  })
})
