/** A benchmark service and three inference services, on the real thing, for requests whose shapes nobody had analysed. */
import { writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import type { ModelProto } from '../../shared/onnx/proto/onnx_pb.ts'
import { encode } from '../onnx/support/build.ts'
import { tokens } from '../onnx/support/open-models.ts'
import { difference, runFile } from '../onnx/support/run.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { withBenchmark } from '../support/services.ts'
import { inferTensors } from './support/infer-tensors.ts'
import { call, errorOf, type RawAnswer, startInference, type TestService } from './support/service.ts'

export const TIERS = ['device', 'edge', 'cloud']

/** For all tests of the file in which it is called. */
export function useShapes() {
  const redis = withTestRedis()
  const folder = withFolder('shapes')
  const benchmark = withBenchmark(() => ({
    REDIS_URL: redis().url,
    SCISSION_DATA: path.join(folder(), 'benchmark'),
  }))
  const services = new Map<string, TestService>()
  const at = (tier: string) => services.get(tier)?.url ?? ''
  const start = (tier: string, more: Record<string, string> = {}) =>
    startInference(redis().url, {
      SCISSION_RESOURCE: tier,
      SCISSION_TIER: tier,
      SCISSION_DATA: path.join(folder(), tier),
      SCISSION_BENCHMARK_URL: benchmark().url,
      ...more,
    })
  beforeAll(async () => {
    for (const tier of TIERS) services.set(tier, await start(tier, { SCISSION_LINK_INTERVAL_MS: '3600000' }))
  })
  afterAll(() => Promise.all([...services.values()].map((service) => service.stop())))
  const fileOf = (name: string) => path.join(folder(), `${name}.onnx`)

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

  return {
    redis,
    client: () => benchmark().client,
    at,
    /** One more service, to be stopped by the test. */
    start,
    fileOf,
    /** Each name is a model of its own. */
    upload: async (name: string, made: ModelProto) => {
      made.producerName = name
      writeFileSync(fileOf(name), encode(made))
      return benchmark().client.uploadModel(fileOf(name), name)
    },
    apart,
    expectSame,
    whole: (name: string, tier = 'device') => `${at(tier)}/v2/models/${name}/infer`,
    structureFiles: async (id: string) =>
      (await readdir(path.join(folder(), 'benchmark', 'models', id))).filter((file) =>
        file.endsWith('.structure.json'),
      ),
  }
}

export function sentence(batch: number, length: number): Tensor[] {
  const mask = new Uint8Array(
    BigInt64Array.from({ length: batch * length }, (_, i) => BigInt(i % 5 > 0 ? 1 : 0)).buffer,
  )
  const shape = [batch, length]
  return [
    { name: 'ids', datatype: 'INT64', shape, bytes: tokens(batch * length) },
    { name: 'mask', datatype: 'INT64', shape, bytes: mask },
  ]
}

export function picture(shape: number[]): Tensor[] {
  const count = shape.reduce((product, dim) => product * dim, 1)
  const values = Float32Array.from({ length: count }, (_, i) => Math.sin(i) * 3)
  return [{ name: 'x', datatype: 'FP32', shape, bytes: new Uint8Array(values.buffer) }]
}

export const copy = (tensors: readonly Tensor[]) =>
  tensors.map((tensor) => ({ ...tensor, bytes: tensor.bytes.slice() }))

export const refusal = async (answer: Promise<RawAnswer>) => {
  const { status, json } = await answer
  return { status, error: errorOf(json) }
}
export const send = (url: string, inputs: Tensor[], more: object = {}) => {
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
