/** Two machines that run real models: the first layer of each on `device`, the others on `edge`. */
import path from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import {
  call,
  postJson,
  type RawAnswer,
  startInference,
  type TestService,
} from '../inference/support/service.ts'
import { type TinyModel, writeModel } from '../inference/tiny-models.ts'
import { exampleDeployment, hop } from '../support/fixtures.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { withBenchmark } from '../support/services.ts'

const START_MS = 240_000
export const FALLBACKS = ['native', 'none'] as const

export interface TwoMachines {
  /** To `device`, of the deployment `<model>-<fallback>`. */
  infer: (deployment: string, body: object) => Promise<RawAnswer>
  urlOf: (name: string) => string
}

/** For all tests of the file. Each model is cut behind its first layer, and deployed with each of FALLBACKS. */
export function withTwoMachines(models: Record<string, TinyModel>): TwoMachines {
  const folder = withFolder('two-machines')
  const redis = withTestRedis()
  const benchmark = withBenchmark(() => ({
    REDIS_URL: redis().url,
    SCISSION_DATA: path.join(folder(), 'benchmark'),
  }))
  const services = new Map<string, TestService>()
  const urlOf = (name: string) => services.get(name)?.url ?? ''

  const start = async (name: string) => {
    const settings = {
      SCISSION_RESOURCE: name,
      SCISSION_TIER: name,
      SCISSION_DATA: path.join(folder(), name),
      SCISSION_BENCHMARK_URL: benchmark().url,
      SCISSION_LINK_INTERVAL_MS: '3600000',
    }
    services.set(name, await startInference(redis().url, settings))
  }
  const upload = async (name: string, model: TinyModel) => {
    const file = path.join(folder(), `${name}.onnx`)
    writeModel(file, model)
    await benchmark().client.uploadModel(file, name)
  }
  const deploy = async (name: string, fallback: (typeof FALLBACKS)[number]) => {
    const { client } = benchmark()
    const { shapesKey, layers } = await client.structure(name)
    const hops = [hop('device', 0, 1), hop('edge', 1, layers.length)]
    const deployment = exampleDeployment(`${name}-${fallback}`, hops, {
      model: (await client.model(name)).id,
      shapesKey,
      entry: { resource: 'device', url: urlOf('device') },
      fallback,
    })
    await redis().state.deployments.put(deployment.id, deployment)
    for (const resource of services.keys()) {
      const put = `${urlOf(resource)}/v1/deployments/${deployment.id}`
      const { status } = await call('PUT', put, JSON.stringify(deployment), {
        'Content-Type': 'application/json',
      })
      expect([resource, status]).toEqual([resource, 200])
    }
  }

  beforeAll(async () => {
    for (const [name, model] of Object.entries(models)) await upload(name, model)
    await Promise.all(['device', 'edge'].map(start))
    for (const name of Object.keys(models)) for (const fallback of FALLBACKS) await deploy(name, fallback)
  }, START_MS)
  afterAll(() => Promise.all([...services.values()].map((service) => service.stop())))
  return { urlOf, infer: (name, body) => postJson(`${urlOf('device')}/v2/models/${name}/infer`, body) }
}
