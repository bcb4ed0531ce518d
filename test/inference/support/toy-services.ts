/** Several inference services with toy models over one Redis, each under the name of its resource. */
import { afterAll, beforeAll, beforeEach, expect } from 'vitest'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { exampleDeployment, type Hop, NOBODY } from '../../support/fixtures.ts'
import { withTestRedis } from '../../support/redis.ts'
import { call, postJson, type RawAnswer, startInference, type TestService } from './service.ts'
import { register, type ToyEngine, toyEngine, type ToyModel, X } from './toy-models.ts'

/** A deployment of a toy. The first hop is its entry, with the address NOBODY. */
export const deploymentOf = (
  { model, structure }: ToyModel,
  id: string,
  hops: readonly Hop[],
  changes: Partial<Deployment> = {},
): Deployment => exampleDeployment(id, hops, { model: model.id, shapesKey: structure.shapesKey, ...changes })

export interface ToyServices {
  readonly redisUrl: string
  readonly state: State
  /** @param env settings; the tier has the resource's name unless they say otherwise. */
  start: (name: string, env?: Record<string, string>) => Promise<TestService>
  stop: (name: string) => Promise<void>
  /** NOBODY if it is not started. */
  urlOf: (name: string) => string
  engineOf: (name: string) => ToyEngine
  /** A deployment of the first toy whose entry has its address. */
  deploymentOf: (id: string, hops: readonly Hop[], changes?: Partial<Deployment>) => Deployment
  /** Stores it, then tells its resources as the planner does: those that are started here. */
  deploy: (deployment: Deployment) => Promise<void>
  /** A request with the input X. */
  infer: (model: string, extra?: object, at?: string) => Promise<RawAnswer>
}

/** For all tests of the file or group it is called in. Before each of them the engines forget what they ran. */
export function withToyServices(toys: readonly [ToyModel, ...ToyModel[]]): ToyServices {
  const redis = withTestRedis()
  const services = new Map<string, TestService>()
  const engines = new Map<string, ToyEngine>()
  const urlOf = (name: string) => services.get(name)?.url ?? NOBODY
  const stop = async (name: string) => {
    await services.get(name)?.stop()
    services.delete(name)
  }
  beforeAll(() => register(redis().state, ...toys))
  afterAll(() => Promise.all([...services.keys()].map(stop)))
  beforeEach(() => {
    for (const engine of engines.values()) {
      engine.runMs = 0
      engine.runs.length = 0
      engine.failLoads.clear()
    }
  })
  return {
    get redisUrl() {
      return redis().url
    },
    get state() {
      return redis().state
    },
    start: async (name, env = {}) => {
      const engine = toyEngine(toys)
      engines.set(name, engine)
      const settings = {
        SCISSION_RESOURCE: name,
        SCISSION_TIER: name,
        SCISSION_LINK_INTERVAL_MS: '3600000',
        ...env,
      }
      const service = await startInference(redis().url, settings, engine)
      services.set(name, service)
      return service
    },
    stop,
    urlOf,
    engineOf: (name) => engines.get(name) ?? toyEngine([]),
    deploymentOf: (id, hops, changes) => {
      const resource = hops[0]?.resource ?? ''
      return deploymentOf(toys[0], id, hops, { entry: { resource, url: urlOf(resource) }, ...changes })
    },
    deploy: async (deployment) => {
      await redis().state.deployments.put(deployment.id, deployment)
      const names = deployment.hops.flatMap(({ resource, alternates = [] }) => [resource, ...alternates])
      for (const resource of new Set(names)) {
        const service = services.get(resource)
        if (!service) continue
        const url = `${service.url}/v1/deployments/${deployment.id}`
        const { status } = await call('PUT', url, JSON.stringify(deployment))
        expect([resource, status]).toEqual([resource, 200])
      }
    },
    infer: (model, extra = {}, at = 'device') =>
      postJson(`${urlOf(at)}/v2/models/${model}/infer`, { inputs: [X], ...extra }),
  }
}
