/**
 * Names from outside that every JavaScript object seems to have: of a model's inputs, and of tensors in requests. Served whole,
 * by layers and split, with fixed and with open shapes.
 */
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exampleDeployment, hop } from '../support/fixtures.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { withBenchmark } from '../support/services.ts'
import { call, errorOf, postJson, startInference, type TestService } from './support/service.ts'
import { spec, type TinyModel, writeModel } from './tiny-models.ts'

const NAMES = ['__proto__', 'constructor', 'hasOwnProperty'] as const

/** `toString` is the sum of the inputs, twice. @param rows -1: any number of them. */
const sumOf = (rows: number): TinyModel => ({
  inputs: NAMES.map((name) => spec(name, 'FP32', [rows, 2])),
  outputs: [spec('toString', 'FP32', [rows, 2])],
  nodes: [
    { op: 'Add', inputs: [NAMES[0], NAMES[1]], outputs: ['valueOf'] },
    { op: 'Add', inputs: ['valueOf', NAMES[2]], outputs: ['isPrototypeOf'] },
    { op: 'Add', inputs: ['isPrototypeOf', 'isPrototypeOf'], outputs: ['toString'] },
  ],
})

/** As text: an object literal cannot have an entry `__proto__`. */
const request = (rows: number, names: readonly string[] = NAMES): string => {
  const data = Array.from({ length: 2 * rows }, (_, element) => element)
  return JSON.stringify({
    inputs: names.map((name) => ({ name, datatype: 'FP32', shape: [rows, 2], data })),
  })
}
const answerTo = (rows: number) => Array.from({ length: 2 * rows }, (_, element) => 6 * element)

describe('a name that every object has', () => {
  const folder = withFolder('odd-names')
  const redis = withTestRedis()
  const benchmark = withBenchmark(() => ({
    REDIS_URL: redis().url,
    SCISSION_DATA: path.join(folder(), 'benchmark'),
  }))
  const services = new Map<string, TestService>()
  const infer = (target: string, body: string) =>
    call('POST', `${services.get('device')?.url}/v2/models/${target}/infer`, body)

  async function serve(name: string, rows: number, hops: Parameters<typeof exampleDeployment>[1]) {
    const file = path.join(folder(), `${name}.onnx`)
    writeModel(file, sumOf(rows))
    const shapes = rows < 0 ? { constructor: [1, 2], hasOwnProperty: [1, 2] } : undefined
    const { id } = await benchmark().client.uploadModel(file, name, shapes && { inputShapes: shapes })
    const { shapesKey } = await benchmark().client.structure(name, shapes)
    const entry = { resource: 'device', url: services.get('device')?.url ?? '' }
    const deployment = exampleDeployment(`${name}-split`, hops, { model: id, shapesKey, entry })
    await redis().state.deployments.put(deployment.id, deployment)
    for (const { resource } of hops) {
      const put = `${services.get(resource)?.url}/v1/deployments/${deployment.id}`
      expect((await call('PUT', put, JSON.stringify(deployment))).status).toBe(200)
    }
  }

  beforeAll(async () => {
    for (const resource of ['device', 'edge']) {
      const settings = {
        SCISSION_RESOURCE: resource,
        SCISSION_TIER: resource,
        SCISSION_DATA: path.join(folder(), resource),
        SCISSION_BENCHMARK_URL: benchmark().url,
        SCISSION_LINK_INTERVAL_MS: '3600000',
      }
      services.set(resource, await startInference(redis().url, settings))
    }
    await serve('fixed', 1, [hop('device', 0, 1), hop('edge', 1, 3)])
    await serve('forwarded', 1, [hop('device', 0, 0), hop('edge', 0, 3)])
    await serve('open', -1, [hop('device', 0, 1), hop('edge', 1, 3)])
  }, 120_000)
  afterAll(() => Promise.all([...services.values()].map((service) => service.stop())))

  it.each(['fixed', 'fixed:0-3', 'fixed/layers/0-3', 'fixed-split', 'forwarded-split', 'open', 'open-split'])(
    'may be that of an input: %s',
    async (target) => {
      const { status, json } = await infer(target, request(1))
      expect([target, status, json]).toEqual([
        target,
        200,
        expect.objectContaining({
          outputs: [{ name: 'toString', datatype: 'FP32', shape: [1, 2], data: answerTo(1) }],
        }),
      ])
    },
  )

  it('may be that of an input of any size', async () => {
    const { status, json } = await infer('open', request(3))
    expect([status, json]).toEqual([
      200,
      expect.objectContaining({ outputs: [expect.objectContaining({ data: answerTo(3) })] }),
    ])
  })

  it.each(['fixed', 'fixed:0-3', 'fixed-split', 'open', 'open-split'])(
    'is missed, or unknown, like any other: %s',
    async (target) => {
      for (const [names, message] of [
        [NAMES.slice(1), '"__proto__"'],
        [[...NAMES, 'propertyIsEnumerable'], 'unexpected input tensor "propertyIsEnumerable"'],
        [[NAMES[1], NAMES[2], '__defineGetter__'], 'unexpected input tensor "__defineGetter__"'],
      ] as const) {
        const { status, json } = await infer(target, request(1, names))
        expect([target, status, errorOf(json)]).toEqual([target, 400, expect.stringContaining(message)])
      }
    },
  )

  it('may stand among the parameters and names of a request', async () => {
    const inputs = JSON.parse(request(1)) as object
    const odd = JSON.parse('{"__proto__": {"timeout": "soon"}, "constructor": [1]}') as object
    const url = `${services.get('device')?.url}/v2/models/fixed/infer`
    expect((await postJson(url, { ...inputs, parameters: odd })).status).toBe(200)
    const unknown = await postJson(url, { ...inputs, outputs: [{ name: '__proto__' }] })
    expect([unknown.status, errorOf(unknown.json)]).toEqual([400, expect.stringContaining("'__proto__'")])
  })
})
