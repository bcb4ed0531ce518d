/**
 * A client's fault is answered with the same status by a whole model and by a deployment of it, in JSON and in binary form,
 * whichever hop finds it.
 */
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodeElements } from '../../shared/oip/bytes-elements.ts'
import { exampleDeployment, hop } from '../support/fixtures.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { withBenchmark } from '../support/services.ts'
import {
  call,
  errorOf,
  parametersOf,
  postBinary,
  postJson,
  type RawAnswer,
  startInference,
  type TestService,
} from './support/service.ts'
import { spec, type TinyModel, writeModel } from './tiny-models.ts'

/** Boundary 2 has the indices and the texts: what is wrong with them is found behind it. */
const model: TinyModel = {
  inputs: [spec('index', 'INT64', [2]), spec('text', 'BYTES', [2])],
  outputs: [spec('rows', 'FP32', [2, 4]), spec('words', 'BYTES', [2])],
  nodes: [
    { op: 'Abs', inputs: ['index'], outputs: ['positive'] },
    { op: 'StringNormalizer', inputs: ['text'], outputs: ['plain'] },
    { op: 'Gather', inputs: ['table', 'positive'], outputs: ['rows'] },
    { op: 'StringNormalizer', inputs: ['plain'], outputs: ['words'] },
  ],
  weights: [{ name: 'table', shape: [10, 4], values: Float32Array.from({ length: 40 }, (_, i) => i) }],
}

interface Input {
  name: string
  datatype: string
  shape: number[]
  data: unknown[]
}
interface Request {
  parameters?: object
  inputs: Input[]
  outputs?: { name: string }[]
}
const index = (changes: Partial<Input> = {}): Input => ({
  name: 'index',
  datatype: 'INT64',
  shape: [2],
  data: [1, 2],
  ...changes,
})
const text = (changes: Partial<Input> = {}): Input => ({
  name: 'text',
  datatype: 'BYTES',
  shape: [2],
  data: ['1.5', '2'],
  ...changes,
})
const RIGHT: Request = { inputs: [index(), text()] }

/** What is wrong, and the status. The error says what the last column matches. */
const FAULTS: [string, number, Request, RegExp][] = [
  ['nothing', 200, RIGHT, /^$/],
  ['an input is missing', 400, { inputs: [text()] }, /index/],
  ['all inputs are missing', 400, { inputs: [] }, /index|text/],
  ['an input is unknown', 400, { inputs: [index(), text(), index({ name: 'more' })] }, /more/],
  ['an input is given twice', 400, { inputs: [index(), index(), text()] }, /twice/],
  ['an input has another name', 400, { inputs: [index({ name: 'indices' }), text()] }, /indices/],
  ['an input has another type', 400, { inputs: [index({ datatype: 'INT32' }), text()] }, /INT32/],
  ['numbers for texts', 400, { inputs: [index(), text({ datatype: 'INT64', data: [1, 2] })] }, /INT64/],
  ['too many elements', 400, { inputs: [index({ shape: [3], data: [1, 2, 3] }), text()] }, /\[3\]/],
  ['another rank', 400, { inputs: [index({ shape: [1, 2] }), text()] }, /\[1,2\]/],
  ['no elements', 400, { inputs: [index({ shape: [0], data: [] }), text()] }, /\[0\]/],
  ['an output is unknown', 400, { ...RIGHT, outputs: [{ name: 'columns' }] }, /columns/],
  ['the name of an inner tensor', 400, { ...RIGHT, outputs: [{ name: 'positive' }] }, /positive/],
  ['an index outside of the table', 400, { inputs: [index({ data: [1, 10] }), text()] }, /Gather.*bounds/],
  ['an index far outside', 400, { inputs: [index({ data: [1, 2 ** 50] }), text()] }, /Gather.*bounds/],
  [
    'a NUL in a text',
    400,
    { inputs: [index(), text({ data: ['1', '2\u00003'] })] },
    /"text".*element 1.*NUL/,
  ],
  ['a timeout that is no number', 400, { parameters: { timeout: 'soon' }, ...RIGHT }, /timeout/],
]

describe('a fault of the client', () => {
  const folder = withFolder('faults')
  const redis = withTestRedis()
  const benchmark = withBenchmark(() => ({
    REDIS_URL: redis().url,
    SCISSION_DATA: path.join(folder(), 'benchmark'),
  }))
  const services = new Map<string, TestService>()
  const at = (model: string) => `${services.get('device')?.url}/v2/models/${model}/infer`
  /** Where the same model is served: whole, cut before what fails, cut before everything, with and without a fallback. */
  const SERVED = ['whole', 'split', 'split-early', 'split-with-fallback', 'three']

  beforeAll(async () => {
    const { client, url } = benchmark()
    for (const resource of ['device', 'edge', 'cloud']) {
      const settings = {
        SCISSION_RESOURCE: resource,
        SCISSION_TIER: resource,
        SCISSION_DATA: path.join(folder(), resource),
        SCISSION_BENCHMARK_URL: url,
        SCISSION_LINK_INTERVAL_MS: '3600000',
      }
      services.set(resource, await startInference(redis().url, settings))
    }
    const file = path.join(folder(), 'model.onnx')
    writeModel(file, model)
    const { id } = await client.uploadModel(file, 'whole')
    const { shapesKey, layers } = await client.structure('whole')
    expect(layers.map(({ op }) => op)).toEqual(['Abs', 'StringNormalizer', 'Gather', 'StringNormalizer'])
    const entry = { resource: 'device', url: services.get('device')?.url ?? '' }
    const deploy = async (
      name: string,
      hops: Parameters<typeof exampleDeployment>[1],
      fallback: 'none' | 'native',
    ) => {
      const deployment = exampleDeployment(name, hops, { model: id, shapesKey, entry, fallback })
      await redis().state.deployments.put(name, deployment)
      for (const { resource } of hops) {
        const put = `${services.get(resource)?.url}/v1/deployments/${name}`
        expect((await call('PUT', put, JSON.stringify(deployment))).status).toBe(200)
      }
    }
    await deploy('split', [hop('device', 0, 2), hop('edge', 2, 4)], 'none')
    await deploy('split-early', [hop('device', 0, 0), hop('edge', 0, 4)], 'none')
    await deploy('split-with-fallback', [hop('device', 0, 2), hop('edge', 2, 4)], 'native')
    await deploy('three', [hop('device', 0, 2), hop('edge', 2, 2), hop('cloud', 2, 4)], 'none')
  }, 120_000)
  afterAll(() => Promise.all([...services.values()].map((service) => service.stop())))

  const check = (answer: RawAnswer, name: string, status: number, words: RegExp) => {
    const error = status === 200 ? '' : errorOf(answer.json)
    expect([name, answer.status, error]).toEqual([name, status, expect.stringMatching(words)])
  }

  it.each(FAULTS)('has one status everywhere: %s', async (_what, status, request, words) => {
    for (const name of SERVED) {
      check(await postJson(at(name), request), `${name} in JSON`, status, words)
      const { json, tensors } = inBinary(request)
      check(await postBinary(at(name), json, tensors), `${name} in binary`, status, words)
    }
  })

  it.each([
    ['bytes that are not UTF-8', [Uint8Array.of(0x31), Uint8Array.of(0xff)], /"text".*element 1.*UTF-8/],
    ['fewer bytes than the shape says', [Uint8Array.of(0x31)], /2 elements/],
  ])('has one status everywhere in what only binary data can hold: %s', async (_what, elements, words) => {
    const { json, tensors } = inBinary({ inputs: [index()] })
    const bytes = encodeElements(elements)
    const { data: _data, ...more } = text()
    const inputs = [...json.inputs, { ...more, parameters: { binary_data_size: bytes.length } }]
    for (const name of SERVED) {
      const answer = await postBinary(at(name), { inputs }, Buffer.concat([tensors, bytes]))
      check(answer, name, 400, words)
    }
  })

  it.each([
    ['a tensor that is too short', -4],
    ['bytes behind the last tensor', 4],
  ])('has one status everywhere in lengths: %s', async (_what, more) => {
    const { json, tensors } = inBinary(RIGHT)
    const length = tensors.length + more
    const wrong = Buffer.concat([tensors, Buffer.alloc(8)]).subarray(0, length)
    for (const name of SERVED) check(await postBinary(at(name), json, wrong), name, 400, /additional/)
  })

  it('takes its machine from no other request', async () => {
    const bad = { inputs: [index({ data: [1, 10] }), text()] }
    for (let round = 0; round < 12; round += 1) {
      const refused = await Promise.all(
        ['split', 'split-with-fallback'].map((name) => postJson(at(name), bad)),
      )
      expect(refused.map(({ status }) => status)).toEqual([400, 400])
      for (const name of ['split', 'split-early', 'split-with-fallback']) {
        const { status, json } = await postJson(at(name), RIGHT)
        expect([name, status, parametersOf(json)['scission_hop1_resource']]).toEqual([name, 200, 'edge'])
      }
    }
    const { json } = await call('GET', `${services.get('device')?.url}/healthz`)
    expect(json).toMatchObject({ openBreakers: [] })
  })
})

function inBinary({ inputs, ...rest }: Request) {
  const parts = inputs.map(({ datatype, data }) => bytesOf(datatype, data))
  const heads = inputs.map(({ data: _data, ...input }, place) => ({
    ...input,
    parameters: { binary_data_size: parts[place]?.length ?? 0 },
  }))
  return { json: { ...rest, inputs: heads }, tensors: Buffer.concat(parts) }
}

function bytesOf(datatype: string, data: readonly unknown[]): Uint8Array {
  if (datatype === 'BYTES') return encodeElements(data.map((element) => Buffer.from(String(element))))
  if (datatype === 'INT32') return new Uint8Array(Int32Array.from(data, Number).buffer)
  return new Uint8Array(BigInt64Array.from(data, (value) => BigInt(Number(value))).buffer)
}
