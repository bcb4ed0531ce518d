/** Requests whose shapes nobody had analysed, on the real thing: a benchmark service, inference services, ONNX Runtime. */
import { writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BenchmarkClient } from '../../shared/client/benchmark.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import type { ModelProto } from '../../shared/onnx/proto/onnx_pb.ts'
import { encode } from '../onnx/support/build.ts'
import {
  anySize,
  classifier,
  encoder,
  mixing,
  pairs,
  POSITIONS,
  tokens,
} from '../onnx/support/open-models.ts'
import { difference, runFile } from '../onnx/support/run.ts'
import { exampleDeployment, hop } from '../support/fixtures.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { withBenchmark } from '../support/services.ts'
import { inferTensors } from './support/infer-tensors.ts'
import { call, errorOf, type RawAnswer, startInference, type TestService } from './support/service.ts'

const TIERS = ['device', 'edge', 'cloud']
const redis = withTestRedis()
const folder = withFolder('shapes')
const benchmark = withBenchmark(() => ({
  REDIS_URL: redis().url,
  SCISSION_DATA: path.join(folder(), 'benchmark'),
}))
const services = new Map<string, TestService>()
let client: BenchmarkClient

const at = (tier: string) => services.get(tier)?.url ?? ''

beforeAll(async () => {
  client = benchmark().client
  for (const tier of TIERS) {
    const settings = {
      SCISSION_RESOURCE: tier,
      SCISSION_TIER: tier,
      SCISSION_DATA: path.join(folder(), tier),
      SCISSION_BENCHMARK_URL: benchmark().url,
      SCISSION_LINK_INTERVAL_MS: '3600000',
    }
    services.set(tier, await startInference(redis().url, settings))
  }
})
afterAll(() => Promise.all([...services.values()].map((service) => service.stop())))

const fileOf = (name: string) => path.join(folder(), `${name}.onnx`)

/** Each name is a model of its own. */
async function upload(name: string, made: ModelProto) {
  made.producerName = name
  writeFileSync(fileOf(name), encode(made))
  return client.uploadModel(fileOf(name), name)
}

function sentence(batch: number, length: number): Tensor[] {
  const mask = new Uint8Array(
    BigInt64Array.from({ length: batch * length }, (_, i) => BigInt(i % 5 > 0 ? 1 : 0)).buffer,
  )
  const shape = [batch, length]
  return [
    { name: 'ids', datatype: 'INT64', shape, bytes: tokens(batch * length) },
    { name: 'mask', datatype: 'INT64', shape, bytes: mask },
  ]
}

function picture(shape: number[]): Tensor[] {
  const count = shape.reduce((product, dim) => product * dim, 1)
  const values = Float32Array.from({ length: count }, (_, i) => Math.sin(i) * 3)
  return [{ name: 'x', datatype: 'FP32', shape, bytes: new Uint8Array(values.buffer) }]
}

const copy = (tensors: readonly Tensor[]) =>
  tensors.map((tensor) => ({ ...tensor, bytes: tensor.bytes.slice() }))

/** Largest difference to what ONNX Runtime makes of the uploaded file. */
async function apart(name: string, inputs: readonly Tensor[], outputs: readonly Tensor[]): Promise<number> {
  const given = new Map(copy(inputs).map((tensor) => [tensor.name, tensor]))
  const expected = await runFile(fileOf(name), given, 'all')
  return difference(new Map(outputs.map((tensor) => [tensor.name, tensor])), expected)
}

async function expectSame(name: string, url: string, inputs: readonly Tensor[]): Promise<void> {
  const { outputs } = await inferTensors(url, copy(inputs))
  expect([inputs[0]?.shape, await apart(name, inputs, outputs)]).toEqual([
    inputs[0]?.shape,
    expect.closeTo(0, 5),
  ])
}

const whole = (name: string, tier = 'device') => `${at(tier)}/v2/models/${name}/infer`
const structureFiles = async (id: string) =>
  (await readdir(path.join(folder(), 'benchmark', 'models', id))).filter((file) =>
    file.endsWith('.structure.json'),
  )
const refusal = async (answer: Promise<RawAnswer>) => {
  const { status, json } = await answer
  return { status, error: errorOf(json) }
}
const send = (url: string, inputs: Tensor[], more: object = {}) => {
  const body = inputs.map(({ name, datatype, shape, bytes }) => ({
    name,
    datatype,
    shape,
    data:
      datatype === 'INT64'
        ? [...new BigInt64Array(bytes.slice().buffer)].map(Number)
        : [...new Float32Array(bytes.slice().buffer)],
  }))
  return call('POST', url, JSON.stringify({ inputs: body, ...more }))
}

describe('a model whose shapes nobody gave', () => {
  it('takes any shape, from several services at once, after one analysis', async () => {
    const { id, inputShapes } = await upload('first', encoder())
    expect(inputShapes).toBeNull()
    const shapes = [1, 2, 3, 5, 8, 13, 21, 34].map((length) => sentence(1 + (length % 2), length))
    await Promise.all(
      shapes.map((inputs, index) => expectSame('first', whole('first', TIERS[index % 3]), inputs)),
    )
    expect(await structureFiles(id)).toHaveLength(1)
    expect((await redis().state.structures.all()).filter(({ model }) => model === id)).toHaveLength(1)
  })

  it('is one session for all of them', async () => {
    const { json } = await call('GET', `${at('device')}/v2/models/stats`)
    const names = (json as { model_stats: { name: string }[] }).model_stats.map(({ name }) => name)
    expect(names.filter((name) => name.startsWith('first'))).toEqual(['first'])
  })

  it('is refused with the reason if it contradicts what the file declares', async () => {
    const [ids, mask] = sentence(1, 8) as [Tensor, Tensor]
    const [, shorter] = sentence(1, 7) as [Tensor, Tensor]
    expect(await refusal(send(whole('first'), [ids, shorter]))).toEqual({
      status: 400,
      error: expect.stringMatching(/does not run with ids:1x8,mask:1x7/),
    })
    const flat = { ...ids, shape: [8] }
    expect((await refusal(send(whole('first'), [flat, mask]))).error).toContain(
      'has shape [8], expected [-1,-1]',
    )
    expect((await refusal(send(whole('first'), [ids]))).error).toContain('missing input tensor "mask"')
  })

  it('is refused as the request’s fault if the model does not run with it', async () => {
    const { status, error } = await refusal(send(whole('first'), sentence(1, POSITIONS + 1)))
    expect(status).toBe(400)
    expect(error).toContain(`does not run with ids:1x${POSITIONS + 1}`)
    await expectSame('first', whole('first'), sentence(1, 9))
  })

  it('is not analysed again soon if it failed, and others are', async () => {
    const { id } = await upload('picky', encoder('ids'))
    const long = () => refusal(send(whole('picky'), sentence(1, POSITIONS + 1)))
    const first = await long()
    expect(first).toEqual({ status: 422, error: expect.stringContaining(`ids:1x${POSITIONS + 1}`) })
    expect(await long()).toEqual(first)
    expect(await structureFiles(id)).toEqual([])
    await expectSame('picky', whole('picky'), sentence(2, 4))
    // Now it is known that the model runs, and this shape does not.
    expect((await long()).status).toBe(400)
  })

  it('waits for its analysis within its own time', async () => {
    await upload('late', encoder())
    const { status, error } = await refusal(
      send(whole('late'), sentence(1, 3), { parameters: { timeout: 1000 } }),
    )
    expect(status).toBe(504)
    expect(error).toContain('analysing model late with open dimensions: not done before its deadline')
    await expectSame('late', whole('late'), sentence(1, 3))
  })
})

describe('a model with shapes of its own', () => {
  it('takes other sizes of its open dimensions', async () => {
    const { inputShapes } = await upload('pictures', classifier())
    expect(inputShapes).toEqual({ x: [1, 3, 8, 8] })
    for (const batch of [1, 4, 2, 9])
      await expectSame('pictures', whole('pictures'), picture([batch, 3, 8, 8]))
    expect((await refusal(send(whole('pictures'), picture([1, 3, 8, 9])))).status).toBe(400)
  })

  it('takes them with batching, too, which is for its own sizes', async () => {
    const settings = { SCISSION_RESOURCE: 'batching', SCISSION_TIER: 'edge', SCISSION_MAX_BATCH: '4' }
    const data = path.join(folder(), 'batching')
    const more = { SCISSION_DATA: data, SCISSION_BENCHMARK_URL: benchmark().url }
    const service = await startInference(redis().url, { ...settings, ...more })
    try {
      const model = await upload('both', encoder())
      await client.uploadModel(fileOf('both'), 'both', { inputShapes: { ids: [1, 6], mask: [1, 6] } })
      expect(model.id).toBeDefined()
      const url = `${service.url}/v2/models/both/infer`
      for (const [batch, length] of [
        [1, 6],
        [3, 6],
        [2, 11],
        [1, 2],
      ] as const)
        await expectSame('both', url, sentence(batch, length))
      await upload('mixing', mixing())
      await client.uploadModel(fileOf('mixing'), 'mixing', { inputShapes: { x: [1, 6] } })
      for (const shape of [
        [2, 6],
        [2, 11],
      ])
        expect(await refusal(send(`${service.url}/v2/models/mixing/infer`, picture(shape)))).toEqual({
          status: 400,
          error: expect.stringMatching(/batch-size must be <= 1 for 'mixing', got 2; 2 at once: "y" differs/),
        })
      await expectSame('mixing', whole('mixing'), picture([2, 6]))
      await expectSame('mixing', `${service.url}/v2/models/mixing/infer`, picture([1, 11]))
    } finally {
      await service.stop()
    }
  })

  it('takes sizes without names', async () => {
    await upload('any-size', anySize())
    for (const size of [
      [8, 8],
      [5, 31],
      [64, 2],
    ])
      await expectSame('any-size', whole('any-size'), picture([1, 3, ...size]))
  })
})

describe('layers of a model', () => {
  const ranges = (name: string, from: number, to: number, tier = 'device') =>
    `${at(tier)}/v2/models/${name}/layers/${from}-${to}/infer`

  it('without shapes of its own are numbered by its open structure', async () => {
    await upload('numbered', encoder('ids'))
    expect((await refusal(send(ranges('numbered', 3, 5), sentence(1, 4)))).error).toContain('open=true')
    // The first request for layers from 0 has it analysed.
    await inferTensors(ranges('numbered', 0, 1), sentence(1, 4))
    const { layers, boundaries } = await client.openStructure('numbered')
    const cut = boundaries.filter(({ clean, k }) => clean && k > 5)[3]?.k ?? 0
    for (const length of [4, 1, 30]) {
      const inputs = sentence(2, length)
      const head = await inferTensors(ranges('numbered', 0, cut), copy(inputs))
      expect(head.outputs.map(({ name }) => name)).toEqual(boundaries[cut]?.tensors)
      const { outputs } = await inferTensors(ranges('numbered', cut, layers.length, 'edge'), head.outputs)
      expect(await apart('numbered', inputs, outputs)).toBeLessThan(1e-5)
    }
    const { json } = await call('GET', `${at('edge')}/v2/models/numbered/layers/0-${cut}`)
    expect((json as { inputs: { shape: number[] }[] }).inputs.map(({ shape }) => shape)).toEqual([
      [-1, -1],
      [-1, -1],
    ])
  })

  it('with shapes of its own take other sizes where the same tensors cross, and are refused elsewhere', async () => {
    for (const [name, sizes] of [
      ['own-block', 'block'],
      ['own-ids', 'ids'],
    ] as const) {
      await upload(name, encoder(sizes))
      await client.uploadModel(fileOf(name), name, { inputShapes: { ids: [1, 16], mask: [1, 16] } })
      const { layers, boundaries } = await client.structure(name)
      const k = layers.findIndex(({ outputs }) => outputs.some((output) => output.name === 'b0.out')) + 1
      expect(boundaries[k]?.tensors.toSorted()).toEqual(['b0.out', 'penalties'])
      const head = await inferTensors(ranges(name, 0, k), sentence(1, 16))
      expect(head.outputs.length).toBe(2)
      const other = refusal(send(ranges(name, 0, k), sentence(2, 5)))
      if (sizes === 'ids') {
        expect(await other).toEqual({ status: 400, error: expect.stringContaining(`boundary ${k}`) })
        continue
      }
      expect((await other).status).toBe(200)
      const inputs = sentence(2, 5)
      const { outputs: middle } = await inferTensors(ranges(name, 0, k), copy(inputs))
      const { outputs } = await inferTensors(ranges(name, k, layers.length, 'cloud'), middle)
      expect(await apart(name, inputs, outputs)).toBeLessThan(1e-5)
    }
  })
})

describe('a deployment for a range of shapes', () => {
  it('runs every shape in it through all hops, and refuses others with the range', async () => {
    const { id } = await upload('wide', encoder())
    const { shapesKey, layers, boundaries } = await client.openStructure('wide', {
      ids: [1, 4],
      mask: [1, 4],
    })
    const cuts = boundaries.filter(({ clean, k }) => clean && k > 0 && k < layers.length).map(({ k }) => k)
    const [first = 0, second = 0] = [
      cuts[Math.floor(cuts.length / 3)],
      cuts[Math.floor((2 * cuts.length) / 3)],
    ]
    const hops = [hop('device', 0, first), hop('edge', first, second), hop('cloud', second, layers.length)]
    const ranges = ['1..3', '2..40']
    const deployment = exampleDeployment('wide-split', hops, {
      model: id,
      shapesKey,
      shapes: { ids: ranges, mask: ranges },
      entry: { resource: 'device', url: at('device') },
    })
    await redis().state.deployments.put(deployment.id, deployment)
    for (const tier of TIERS)
      expect(
        (await call('PUT', `${at(tier)}/v1/deployments/wide-split`, JSON.stringify(deployment))).status,
      ).toBe(200)
    for (const [batch, length] of [
      [1, 2],
      [3, 40],
      [2, 17],
      [1, 3],
    ] as const)
      await expectSame('wide', whole('wide-split'), sentence(batch, length))
    for (const [batch, length] of [
      [1, 41],
      [4, 8],
      [1, 1],
    ] as const)
      expect(await refusal(send(whole('wide-split'), sentence(batch, length)))).toEqual({
        status: 400,
        error: expect.stringMatching(
          /"ids" has shape \[\d+,\d+\]; deployment wide-split takes \[1\.\.3,2\.\.40\]/,
        ),
      })
    const given = sentence(2, 13)
    const crossing = await inferTensors(`${at('device')}/v2/models/wide:0-${first}/infer`, copy(given))
    const cut = `${at('edge')}/v2/models/wide-split/layers/${first}-${layers.length}`
    const entered = await inferTensors(`${cut}/infer`, crossing.outputs)
    expect(await apart('wide', given, entered.outputs)).toBeLessThan(1e-5)
    const [ids] = sentence(1, 8) as [Tensor]
    const [, mask] = sentence(1, 7) as [Tensor, Tensor]
    expect((await refusal(send(whole('wide-split'), [ids, mask]))).status).toBe(400)
    const { json } = await call('GET', `${at('device')}/v2/models/wide-split`)
    expect(json).toMatchObject({
      inputs: [{ shape: [-1, -1] }, { shape: [-1, -1] }],
      properties: { shapes: expect.stringContaining('ids:1..3x2..40') },
    })
  })
})

describe('a shape that needs more memory than there is', () => {
  it('is refused with the setting, and ends neither the service nor other requests', async () => {
    const settings = {
      SCISSION_RESOURCE: 'small',
      SCISSION_TIER: 'edge',
      SCISSION_DATA: path.join(folder(), 'small'),
      SCISSION_BENCHMARK_URL: benchmark().url,
      SCISSION_TRIAL_MEMORY_BYTES: String(600 * 2 ** 20),
    }
    const service = await startInference(redis().url, settings)
    try {
      await upload('pairs', pairs())
      const url = `${service.url}/v2/models/pairs/infer`
      const [ids] = sentence(1, 16_000) as [Tensor]
      const short = sentence(1, 300).slice(0, 1)
      await expectSame('pairs', url, short)
      const [refused] = await Promise.all([refusal(send(url, [ids])), expectSame('pairs', url, short)])
      expect(refused.status).toBe(413)
      expect(refused.error).toContain('ids:1x16000 are too much for this resource')
      expect(refused.error).toContain('SCISSION_TRIAL_MEMORY_BYTES')
      // So much that the operating system gives none of it.
      const [endless] = sentence(1, 300_000) as [Tensor]
      expect(await refusal(send(url, [endless]))).toEqual({
        status: 413,
        error: expect.stringMatching(
          /ids:1x300000 are too much for this resource.*Failed to allocate memory/,
        ),
      })
      await expectSame('pairs', url, short)
    } finally {
      await service.stop()
    }
  })
})
