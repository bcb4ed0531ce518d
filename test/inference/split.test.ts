/** The real thing on one machine: a benchmark service, three inference services, ONNX Runtime, and a detector. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BenchmarkClient, UploadedModel } from '../../shared/client/benchmark.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import { writeInferRequest } from '../../shared/oip/request-message.ts'
import { type InferResponse, parseInferResponse } from '../../shared/oip/response-message.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { decodeTensor, encodeTensor } from '../../shared/platform/tensor-codecs.ts'
import { readProtoTensor } from '../onnx/support/references.ts'
import { exampleDeployment, hop } from '../support/fixtures.ts'
import { randomFrom } from '../support/random.ts'
import { withTestRedis } from '../support/redis.ts'
import { withBenchmark } from '../support/services.ts'
import { call, type RawAnswer, startInference, type TestService } from './support/service.ts'
import { needsFiles, ownFile, thirdPartyFile } from '../support/test-models.ts'
import { measured } from '../support/measured.ts'

/** A detector, and a network with reference outputs beside it. */
const SUBJECTS = [
  {
    what: 'a detector of our own',
    detector: ownFile('detector.onnx'),
    digits: ownFile('digits-cnn'),
    options: {},
  },
  {
    what: 'a trained detector',
    detector: thirdPartyFile('ultraface_rfb320.onnx'),
    digits: thirdPartyFile('mnist-8_cnn'),
    options: needsFiles('ultraface_rfb320.onnx', 'mnist-8_cnn.onnx'),
  },
]

const floatsOf = (bytes: Uint8Array | undefined) => [...new Float32Array(new Uint8Array(bytes ?? []).buffer)]

function noise(count: number): Float32Array {
  const random = randomFrom(7)
  return Float32Array.from({ length: count }, () => 2 * random() - 1)
}

/** Largest difference of any element over the largest value, over all outputs of `expected`. */
function differenceOf(expected: readonly Tensor[], outputs: readonly Tensor[]): number {
  expect(outputs.map((tensor) => [tensor.name, tensor.shape])).toEqual(
    expected.map((tensor) => [tensor.name, tensor.shape]),
  )
  const differences = expected.map((tensor, index) => {
    const values = floatsOf(tensor.bytes)
    const others = floatsOf(outputs[index]?.bytes)
    const scale = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
    const apart = values.map((value, element) => Math.abs(value - (others[element] ?? Number.NaN)))
    return apart.reduce((largest, value) => Math.max(largest, value), 0) / scale
  })
  return Math.max(...differences)
}

async function infer(url: string, inputs: Tensor[]): Promise<InferResponse & { answer: RawAnswer }> {
  const message = writeInferRequest({ inputs, parameters: { binary_data_output: true } })
  const answer = await call('POST', url, Buffer.concat([message.json, ...message.binary]), {
    'Inference-Header-Content-Length': String(message.json.length),
  })
  if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}: ${answer.body.toString()}`)
  const length = Number(answer.headers['inference-header-content-length'] ?? answer.body.length)
  const body = new Uint8Array(answer.body)
  return { ...parseInferResponse(body.subarray(0, length), body.subarray(length)), answer }
}

describe.each(SUBJECTS)('served in pieces', ({ what, detector, digits, options }) => {
  describe(what, options, () => {
    const data = fs.mkdtempSync(path.join(os.tmpdir(), 'scission-split-'))
    const tiers = ['device', 'edge', 'cloud']
    const redis = withTestRedis()
    const benchmark = withBenchmark(() => ({
      REDIS_URL: redis().url,
      SCISSION_DATA: path.join(data, 'benchmark'),
    }))
    const services = new Map<string, TestService>()
    let client: BenchmarkClient
    let model: UploadedModel
    let structure: Structure
    let x: Tensor
    let whole: Tensor[]

    const at = (name: string) => services.get(name)?.url ?? ''

    beforeAll(async () => {
      client = benchmark().client
      for (const tier of tiers) {
        const settings = {
          SCISSION_RESOURCE: tier,
          SCISSION_TIER: tier,
          SCISSION_DATA: path.join(data, tier),
          SCISSION_BENCHMARK_URL: benchmark().url,
          SCISSION_SLOWDOWN: tier === 'device' ? '3' : '1',
        }
        services.set(tier, await startInference(redis().url, settings))
      }
      model = await client.uploadModel(detector, 'face')
      structure = await client.structure('face')
      const [input] = structure.inputs
      if (!input) throw new Error('the model has no input')
      x = { ...input, bytes: new Uint8Array(noise(input.bytes / 4).buffer) }
    })
    afterAll(async () => {
      await Promise.all([...services.values()].map((service) => service.stop()))
      fs.rmSync(data, { recursive: true, force: true })
    })

    it('answers as a whole on one resource', async () => {
      const answer = await infer(`${at('cloud')}/v2/models/face/infer`, [x])
      whole = answer.outputs
      expect(whole.map((tensor) => tensor.name)).toEqual(structure.outputs.map((tensor) => tensor.name))
      expect(answer.modelVersion).toBe(String(model.version))
      for (const tensor of whole) expect(new Set(floatsOf(tensor.bytes)).size).toBeGreaterThan(1000)
    })

    it('gives the reference outputs that lie beside a model', async () => {
      await client.uploadModel(`${digits}.onnx`, 'digits')
      const [input] = (await client.structure('digits')).inputs
      if (!input) throw new Error('the model has no input')
      const image = { ...input, bytes: readProtoTensor(`${digits}_set0_input_0.pb`, input.name).bytes }
      const { outputs } = await infer(`${at('edge')}/v2/models/digits/infer`, [image])
      const expected = outputs.map((tensor) => ({
        ...tensor,
        bytes: readProtoTensor(`${digits}_set0_output_0.pb`, tensor.name).bytes,
      }))
      expect(differenceOf(expected, outputs)).toBeLessThan(1e-5)
    })

    it('gives the same when two resources share its layers, whatever crosses between them', async () => {
      const { boundaries, layers } = structure
      const single = boundaries.filter((boundary) => boundary.clean && boundary.single)
      const several = boundaries.filter((boundary) => boundary.tensors.length > 2)
      const chosen = [boundaries[0], single[3], several[5]]
      for (const k of chosen.map((boundary) => boundary?.k ?? -1)) {
        const head = await infer(`${at('device')}/v2/models/face/layers/0-${k}/infer`, [x])
        expect(head.outputs.map((tensor) => tensor.name)).toEqual(boundaries[k]?.tensors)
        const { outputs } = await infer(
          `${at('edge')}/v2/models/face/layers/${k}-${layers.length}/infer`,
          head.outputs,
        )
        expect([k, differenceOf(whole, inOrder(outputs))]).toEqual([k, expect.closeTo(0, 5)])
      }
    })

    /** A layer range's outputs come in the order of its boundary, a model's in its own. */
    const inOrder = (outputs: readonly Tensor[]) =>
      whole.flatMap(({ name }) => outputs.find((tensor) => tensor.name === name) ?? [])

    it('runs as a deployment over three resources, each holding its own layers only', async () => {
      const [first = 0, second = 0] = structure.boundaries
        .filter((cut) => cut.clean && cut.k > 20)
        .map((cut) => cut.k)
      const hops = [
        hop('device', 0, first),
        hop('edge', first, second),
        hop('cloud', second, structure.layers.length),
      ]
      const entry = { resource: 'device', url: at('device') }
      const { shapesKey } = structure
      const deployment = exampleDeployment('face-split', hops, {
        model: model.id,
        shapesKey,
        entry,
        emulated: true,
      })
      await redis().state.deployments.put(deployment.id, deployment)
      for (const tier of tiers) {
        const put = await call('PUT', `${at(tier)}/v1/deployments/face-split`, JSON.stringify(deployment))
        expect([tier, put.status, put.body.toString()]).toMatchObject([tier, 200, expect.anything()])
      }
      const answer = await infer(`${at('device')}/v2/models/face-split/infer`, [x])
      expect(differenceOf(whole, answer.outputs)).toBeLessThan(1e-5)
      expect(answer.parameters).toMatchObject({
        scission_hops: 3,
        scission_hop0_resource: 'device',
        scission_hop0_emulated: true,
        scission_hop2_emulated: false,
        scission_emulated: true,
      })
      expect(Number(answer.parameters['scission_hop0_waitedMs'])).toBeGreaterThan(0)
    })

    it('is entered at its cuts by a client that ran the layers before, encoded or not', async () => {
      const metadata = await call('GET', `${at('device')}/v2/models/face-split`)
      const { path: stages } = (metadata.json as { properties: { path: string } }).properties
      const end = structure.layers.length
      for (const [resource, cut] of [...stages.matchAll(/(edge|cloud):(\d+)/g)].map(([, name = '', from]) => [
        name,
        Number(from),
      ]) as [string, number][]) {
        const head = await infer(`${at('device')}/v2/models/face/layers/0-${cut}/infer`, [x])
        const url = `${at(resource)}/v2/models/face-split/layers/${cut}-${end}/infer`
        for (const codec of ['none', 'zstd', 'q8']) {
          const coded = head.outputs.map((tensor) => encodeTensor(tensor, codec))
          const decoded = coded.map((tensor) =>
            decodeTensor({ ...tensor, bytes: new Uint8Array(tensor.bytes) }, 1e9),
          )
          const [answer, expected] = [await infer(url, coded), await infer(url, decoded)]
          expect(differenceOf(expected.outputs, answer.outputs)).toBe(0)
          if (codec !== 'q8') expect(differenceOf(whole, answer.outputs)).toBeLessThan(1e-5)
        }
      }
    })

    it('refuses wrong tensors in words that name them', async () => {
      const wrong: [string, Partial<Tensor>][] = [
        ['name', { name: 'nobody' }],
        ['shape', { shape: x.shape.toSpliced(2, 2, x.shape[3] ?? 0, x.shape[2] ?? 0) }],
        ['type', { datatype: 'INT32' }],
      ]
      for (const [what, change] of wrong) {
        const failure = infer(`${at('cloud')}/v2/models/face/infer`, [{ ...x, ...change }])
        await expect(failure, what).rejects.toThrow(new RegExp(`answered 400: .*(${x.name}|nobody)`))
      }
    })

    it('answers probes at once while it runs', async () => {
      const url = `${at('device')}/v2/models/face/infer`
      let done = 0
      const running = Array.from({ length: 20 }, () => infer(url, [x]).then(() => (done += 1)))
      const live = await call('GET', `${at('device')}/v2/health/live`)
      expect(live.status).toBe(200)
      expect(done).toBeLessThan(running.length)
      await Promise.all(running)
    })

    it('is benchmarked on every resource through the queue', async () => {
      const ended = await measured(client, { model: 'face', runs: 3 })
      expect(ended.parts.map((part) => [part.resource, part.state, part.error])).toEqual(
        ['cloud', 'device', 'edge'].map((resource) => [resource, 'completed', undefined]),
      )
      const profiles = await client.profiles({ model: model.id })
      expect(profiles.map((profile) => [profile.resource, profile.emulated, profile.layerMs.length])).toEqual(
        [
          ['cloud', false, structure.layers.length],
          ['device', true, structure.layers.length],
          ['edge', false, structure.layers.length],
        ],
      )
    })
  })
})
