/** Dynamic batching through the whole service: benchmark service, ONNX Runtime, HTTP. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { shapesKeyOf } from '../../../shared/onnx/canonical/shapes-key.ts'
import { structureId } from '../../../shared/platform/redis/state.ts'
import { withTestRedis } from '../../support/redis.ts'
import { withBenchmark } from '../../support/services.ts'
import { call, postJson, startInference, type TestService } from '../support/service.ts'
import { until } from '../../support/eventually.ts'
import { spec, type TinyModel, writeModel } from '../tiny-models.ts'

const MAX_BATCH = 4
const CLIENTS = 24
const WIDTH = 16

const weights = (name: string, rows: number, columns: number) => ({
  name,
  shape: [rows, columns],
  values: Float32Array.from({ length: rows * columns }, (_, index) => Math.sin(index + rows)),
})
const [x, y] = [spec('x', 'FP32', [-1, WIDTH]), spec('y', 'FP32', [-1, 4])]

/** Each row by itself. */
const rows: TinyModel = {
  inputs: [x],
  outputs: [y],
  nodes: [
    { op: 'MatMul', inputs: ['x', 'w1'], outputs: ['a'] },
    { op: 'Tanh', inputs: ['a'], outputs: ['b'] },
    { op: 'MatMul', inputs: ['b', 'w2'], outputs: ['y'] },
  ],
  weights: [weights('w1', WIDTH, WIDTH), weights('w2', WIDTH, 4)],
}
/** The same shapes, but every row is divided by the largest of all rows. */
const mixing: TinyModel = {
  inputs: [x],
  outputs: [y],
  nodes: [
    { op: 'MatMul', inputs: ['x', 'w'], outputs: ['a'] },
    { op: 'ReduceMax', inputs: ['a'], outputs: ['largest'], ints: { keepdims: 1 } },
    { op: 'Div', inputs: ['a', 'largest'], outputs: ['y'] },
  ],
  weights: [weights('w', WIDTH, 4)],
}
/** Mixes its rows only for values past a thousand. */
const mixingLarge: TinyModel = {
  inputs: [x],
  outputs: [y],
  nodes: [
    { op: 'MatMul', inputs: ['x', 'w'], outputs: ['a'] },
    { op: 'ReduceMax', inputs: ['a'], outputs: ['largest'], ints: { keepdims: 1 } },
    { op: 'Max', inputs: ['largest', 'thousand'], outputs: ['scale'] },
    { op: 'Div', inputs: ['a', 'scale'], outputs: ['y'] },
  ],
  weights: [weights('w', WIDTH, 4), { name: 'thousand', shape: [1, 1], values: Float32Array.of(1000) }],
}
/** A table: an index outside of it is ONNX Runtime's to refuse. */
const table: TinyModel = {
  inputs: [spec('index', 'INT64', [-1, 1])],
  outputs: [spec('y', 'FP32', [-1, 1, 4])],
  nodes: [{ op: 'Gather', inputs: ['t', 'index'], outputs: ['y'] }],
  weights: [weights('t', 100, 4)],
}
const fixed: TinyModel = {
  ...rows,
  inputs: [spec('x', 'FP32', [1, WIDTH])],
  outputs: [spec('y', 'FP32', [1, 4])],
}

/** The same as another file: the name of an inner tensor is its own. */
const renamed = (model: TinyModel): TinyModel => ({
  ...model,
  nodes: model.nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map((name) => (name === 'a' ? 'own' : name)),
    outputs: node.outputs.map((name) => (name === 'a' ? 'own' : name)),
  })),
})

interface Answer {
  status: number
  error?: string
  outputs?: { name: string; shape: number[]; data: number[] }[]
  parameters?: Record<string, unknown>
}

describe('a service that may run requests together', () => {
  const data = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-batching-'))
  const redis = withTestRedis()
  const benchmark = withBenchmark(() => ({
    REDIS_URL: redis().url,
    SCISSION_DATA: path.join(data, 'benchmark'),
  }))
  let batching: TestService
  let alone: TestService

  beforeAll(async () => {
    const { url, client } = benchmark()
    const start = (name: string, more: Record<string, string>) =>
      startInference(redis().url, {
        SCISSION_RESOURCE: name,
        SCISSION_DATA: path.join(data, name),
        SCISSION_BENCHMARK_URL: url,
        SCISSION_LINK_INTERVAL_MS: '3600000',
        ...more,
      })
    batching = await start('batching', { SCISSION_MAX_BATCH: String(MAX_BATCH) })
    alone = await start('alone', {})
    for (const [name, model] of Object.entries({
      rows,
      mixing,
      'mixing-large': mixingLarge,
      table,
      fixed,
      fresh: renamed(rows),
    })) {
      const file = path.join(data, `${name}.onnx`)
      writeModel(file, model)
      await client.uploadModel(file, name)
    }
  })
  afterAll(async () => {
    await Promise.all([batching?.stop(), alone?.stop()])
    fs.rmSync(data, { recursive: true, force: true })
  })

  const send = async ({ url }: TestService, model: string, input: object): Promise<Answer> => {
    const { status, json } = await postJson(`${url}/v2/models/${model}/infer`, { inputs: [input] })
    return { status, ...(json as Omit<Answer, 'status'>) }
  }
  const row = (seed: number) =>
    Array.from({ length: WIDTH }, (_, index) => Math.fround(Math.cos(seed * 31 + index)))
  const items = (...seeds: number[]) => ({
    name: 'x',
    shape: [seeds.length, WIDTH],
    datatype: 'FP32',
    data: seeds.flatMap(row),
  })
  const single = new Map<string, number[]>()
  const answerAlone = async (model: string, seed: number) => {
    const known =
      single.get(`${model} ${seed}`) ?? (await send(alone, model, items(seed))).outputs?.[0]?.data ?? []
    single.set(`${model} ${seed}`, known)
    return known
  }
  const expectClose = (given: readonly number[] = [], expected: readonly number[]) => {
    const scale = Math.max(...expected.map(Math.abs))
    expect(given).toHaveLength(expected.length)
    for (const [index, value] of expected.entries())
      expect(Math.abs((given[index] ?? Number.NaN) - value) / scale).toBeLessThan(1e-5)
  }
  /** Many at once, until one of them says that it shared its run. */
  async function untilShared(model: string, check: (answer: Answer, seed: number) => Promise<void>) {
    let largest = 1
    await until(async () => {
      const answers = await Promise.all(
        Array.from({ length: CLIENTS }, async (_, seed) => send(batching, model, items(seed))),
      )
      for (const [seed, answer] of answers.entries()) {
        await check(answer, seed)
        largest = Math.max(largest, Number(answer.parameters?.['scission_hop0_batch'] ?? 1))
      }
      return largest === MAX_BATCH
    })
  }
  const statsOf = async (model: string) => {
    const { json } = await call('GET', `${batching.url}/v2/models/${model}/stats`)
    return (
      json as {
        model_stats: {
          inference_count: number
          execution_count: number
          batch_stats: { batch_size: number; compute_infer: { count: number } }[]
        }[]
      }
    ).model_stats[0]
  }

  it('answers the same whether requests share a run or not, and counts items and runs', async () => {
    let sent = 0
    await untilShared('rows', async (answer, seed) => {
      sent += 1
      expect(answer.status).toBe(200)
      expectClose(answer.outputs?.[0]?.data, await answerAlone('rows', seed))
    })
    const stats = await statsOf('rows')
    const runs = stats?.batch_stats.map((batch) => batch.compute_infer.count) ?? []
    expect(stats?.inference_count).toBe(sent)
    expect(stats?.execution_count).toBeLessThan(sent)
    expect(stats?.execution_count).toBe(runs.reduce((sum, count) => sum + count, 0))
    const inBatches = stats?.batch_stats.map((batch) => batch.batch_size * batch.compute_infer.count) ?? []
    expect(inBatches.reduce((sum, count) => sum + count, 0)).toBe(sent)
    expect(stats?.batch_stats.map((batch) => batch.batch_size)).toContain(MAX_BATCH)
  }, 90_000)

  it('takes batches that a client made, and refuses those that are too large', async () => {
    const seeds = [7, 8, 9]
    const answer = await send(batching, 'rows', items(...seeds))
    expect(answer.outputs?.[0]?.shape).toEqual([3, 4])
    const expected = await Promise.all(seeds.map((seed) => answerAlone('rows', seed)))
    expectClose(answer.outputs?.[0]?.data, expected.flat())
    const before = await statsOf('rows')
    await send(batching, 'rows', items(...seeds))
    const after = await statsOf('rows')
    expect((after?.inference_count ?? 0) - (before?.inference_count ?? 0)).toBe(3)
    const large = await send(batching, 'rows', items(1, 2, 3, 4, 5))
    expect(large).toMatchObject({
      status: 400,
      error: "inference request batch-size must be <= 4 for 'rows', got 5",
    })
    const empty = await send(batching, 'rows', { name: 'x', shape: [0, WIDTH], datatype: 'FP32', data: [] })
    // The file leaves the number of rows open: there may be none.
    expect(empty).toMatchObject({ status: 200, outputs: [{ shape: [0, 4] }] })
  })

  it('announces nothing that was not tried', async () => {
    const config = async () => (await call('GET', `${batching.url}/v2/models/fresh/config`)).json
    expect(await config()).toMatchObject({ max_batch_size: 0, input: [{ dims: [1, WIDTH] }] })
    expect((await call('POST', `${batching.url}/v2/repository/models/fresh/load`)).status).toBe(200)
    expect(await config()).toMatchObject({ max_batch_size: MAX_BATCH, input: [{ dims: [WIDTH] }] })
    const answer = await send(batching, 'fresh', items(1, 2, 3))
    expect(answer.outputs?.[0]?.shape).toEqual([3, 4])
    expect((await call('POST', `${batching.url}/v2/repository/models/fresh/unload`)).status).toBe(200)
    expect(await config()).toMatchObject({ max_batch_size: 0 })
  }, 90_000)

  it.each(['mixing', 'mixing-large'])(
    'takes one item for a network that mixes them, and says so: %s',
    async (model) => {
      // Two items in the first request: it waits until that was tried.
      const refused = await send(batching, model, items(1, 2))
      expect([refused.status, refused.error]).toEqual([
        400,
        expect.stringMatching(
          /batch-size must be <= 1 for 'mixing.*', got 2; 2 at once: "y" differs by .* in item/,
        ),
      ])
      const config = (await call('GET', `${batching.url}/v2/models/${model}/config`)).json
      expect(config).toMatchObject({ max_batch_size: 0, input: [{ dims: [1, WIDTH] }] })
      expect(config).not.toHaveProperty('dynamic_batching')
      const metadata = (await call('GET', `${batching.url}/v2/models/${model}`)).json
      expect(metadata).toMatchObject({ inputs: [{ shape: [1, WIDTH] }], outputs: [{ shape: [1, 4] }] })
      const one = await send(batching, model, items(3))
      expectClose(one.outputs?.[0]?.data, await answerAlone(model, 3))
    },
    90_000,
  )

  it('announces it', async () => {
    const { json } = await call('GET', `${batching.url}/v2/models/rows/config`)
    expect(json).toMatchObject({
      max_batch_size: MAX_BATCH,
      dynamic_batching: { preferred_batch_size: [2, 4], max_queue_delay_microseconds: 0 },
      input: [{ name: 'x', data_type: 'TYPE_FP32', dims: [WIDTH] }],
      output: [{ name: 'y', dims: [4] }],
    })
    const metadata = (await call('GET', `${batching.url}/v2/models/rows`)).json
    expect(metadata).toMatchObject({ inputs: [{ shape: [-1, WIDTH] }], outputs: [{ shape: [-1, 4] }] })
    for (const [service, model] of [
      [batching, 'fixed'],
      [alone, 'rows'],
    ] as const) {
      const config = (await call('GET', `${service.url}/v2/models/${model}/config`)).json
      expect(config).toMatchObject({ max_batch_size: 0, input: [{ dims: [1, WIDTH] }] })
      expect(config).not.toHaveProperty('dynamic_batching')
    }
  })

  it('lets no request spoil another that it might have shared a run with', async () => {
    const ask = (index: number) =>
      send(batching, 'table', { name: 'index', shape: [1, 1], datatype: 'INT64', data: [index] })
    let largest = 1
    await until(async () => {
      const answers = await Promise.all(Array.from({ length: CLIENTS }, (_, seed) => ask(seed)))
      largest = Math.max(
        largest,
        ...answers.map((one) => Number(one.parameters?.['scission_hop0_batch'] ?? 1)),
      )
      return largest === MAX_BATCH
    })
    const wrong = new Set([3, 10, 11])
    const answers = await Promise.all(
      Array.from({ length: CLIENTS }, (_, seed) => ask(wrong.has(seed) ? 1000 : seed)),
    )
    for (const [seed, answer] of answers.entries()) {
      if (wrong.has(seed)) {
        expect(answer.status).toBeGreaterThanOrEqual(400)
        expect(answer.error).toMatch(/index|Gather|bounds/i)
      } else {
        const expected = table.weights?.[0]?.values.slice(seed * 4, seed * 4 + 4) ?? []
        expect(answer.outputs?.[0]?.data).toEqual([...expected])
      }
    }
  }, 90_000)

  it('runs a network that mixes the items of a batch one by one', async () => {
    const id = (await benchmark().client.model('mixing')).id
    const tried = structureId(id, shapesKeyOf({ x: [2, WIDTH] }))
    const enough = 10
    // Batches of two are tried once they are analysed, and were they used, it would be soon after.
    for (let after = 0; after < enough; after += (await redis().state.structures.get(tried)) ? 1 : 0) {
      const answers = await Promise.all(
        Array.from({ length: CLIENTS }, async (_, seed) => send(batching, 'mixing', items(seed))),
      )
      for (const [seed, answer] of answers.entries()) {
        expect(answer.status).toBe(200)
        expect(answer.parameters).not.toHaveProperty('scission_hop0_batch')
        expectClose(answer.outputs?.[0]?.data, await answerAlone('mixing', seed))
      }
    }
  }, 90_000)

  it('shares the runs of a layer range too', async () => {
    const ask = async (seed: number): Promise<Answer> => send(batching, 'rows:0-2', items(seed))
    await until(async () => {
      const answers = await Promise.all(Array.from({ length: CLIENTS }, (_, seed) => ask(seed)))
      for (const [seed, answer] of answers.entries()) {
        expectClose(
          answer.outputs?.[0]?.data,
          (await send(alone, 'rows:0-2', items(seed))).outputs?.[0]?.data ?? [],
        )
        expect(answer.status).toBe(200)
      }
      return answers.some((answer) => answer.parameters?.['scission_hop0_batch'] === MAX_BATCH)
    })
  }, 90_000)
})
