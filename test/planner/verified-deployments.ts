/** A planner and three resources, device, edge and cloud, with toy models that are measured on each: plans of them are deployed. */
import { afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { formatPlanId, type PlanStage } from '../../shared/contracts/plan-id.ts'
import type { Deployment, DeploymentRequest } from '../../shared/contracts/plan.ts'
import { linkId, profileId } from '../../shared/platform/redis/state.ts'
import { call, postJson } from '../inference/support/service.ts'
import { layer, type ToyModel, toyModel, toySpec } from '../inference/support/toy-models.ts'
import { withToyServices } from '../inference/support/toy-services.ts'
import { eventually } from '../support/eventually.ts'
import { exampleLink, exampleProfile } from '../support/fixtures.ts'
import { startPlanner, type StartedService } from '../support/services.ts'

const CODEC_SPEEDS = (['q8', 'zstd'] as const).map((codec) => ({
  codec,
  encodeMsPerMb: 1,
  decodeMsPerMb: 1,
}))
export const TIERS = ['device', 'edge', 'cloud']
export const SETTINGS = { SCISSION_STAGE_BYTES: '1000', SCISSION_MAX_BATCH: '1' }
export const SHAPE = [2, 50]

/** x → a = x + 1 → b = 2a → y = b − 3. @param seam how far off `b` is if `a` was not made in the same run. */
export function line(id: string, name: string, seam = 0): ToyModel {
  let made: unknown
  const a = layer('a', ['x'], SHAPE, (x) => x + 1)
  const b = layer('b', ['a'], SHAPE, (value) => 2 * value)
  const off = layer('b', ['a'], SHAPE, (value) => 2 * value + seam)
  const layers = [
    {
      ...a,
      run: (inputs: Parameters<typeof a.run>[0]) => [...a.run(inputs)].map((tensor) => (made = tensor)),
    },
    { ...b, run: (inputs: Parameters<typeof b.run>[0]) => (inputs[0] === made ? b : off).run(inputs) },
    layer('y', ['b'], SHAPE, (value) => value - 3),
  ]
  return toyModel(id, [toySpec('x', 'FP32', SHAPE)], ['y'], layers, { name })
}

/** The stages of a plan that is cut there: the first on the device, the next on the edge, then the cloud. */
export const stagesOf = (toy: ToyModel, cuts: readonly number[], codec?: PlanStage['codec']): PlanStage[] =>
  [...cuts, toy.layers.length].map((to, index) => ({
    resource: TIERS[index] ?? '',
    from: cuts[index - 1] ?? 0,
    to,
    ...(index > 0 && codec && { codec }),
  }))

/** For all tests of the file. After each of them, whatever was deployed is deleted, and the planner starts again. */
export function useVerification(toys: readonly [ToyModel, ...ToyModel[]]) {
  const services = withToyServices(toys)
  let planner: StartedService
  beforeAll(async () => {
    for (const tier of TIERS) await services.start(tier, SETTINGS)
    const { state } = services
    for (const { model, structure } of toys) {
      const layerMs = structure.layers.map(() => 1)
      for (const [index, tier] of TIERS.entries()) {
        const identity = { model: model.id, shapesKey: structure.shapesKey }
        const times = layerMs.map((ms) => ms * (3 - index))
        const profile = exampleProfile(tier, times, { ...identity, codecs: CODEC_SPEEDS })
        await state.profiles.put(profileId(profile), { ...profile, id: profileId(profile) })
      }
    }
    for (const [from, to] of [
      ['device', 'edge'],
      ['device', 'cloud'],
      ['edge', 'cloud'],
    ] as const)
      await state.links.put(linkId(from, to), exampleLink(from, to, { source: 'override' }))
  })
  beforeEach(async () => {
    planner = await startPlanner(services.redisUrl)
  })
  afterEach(async () => {
    for (const { id } of await services.state.deployments.all()) await undeploy(id)
    await planner.close()
  })
  const undeploy = (id: string) => call('DELETE', `${planner.url}/v1/deployments/${id}`)
  const planOf = ({ model, structure }: ToyModel, stages: readonly PlanStage[]) =>
    formatPlanId({ model: model.id, shapesKey: structure.shapesKey, source: 'device', stages })
  const begin = async (
    toy: ToyModel,
    stages: readonly PlanStage[],
    more: Partial<DeploymentRequest> = {},
  ): Promise<string> => {
    const body = { plan: planOf(toy, stages), name: `live-${toy.model.name}`, fallback: 'none', ...more }
    // The planner hears of what the test wrote to Redis a moment later.
    return eventually(async () => {
      const { status, json } = await postJson(`${planner.url}/v1/deployments`, body)
      expect([status, json]).toMatchObject([202, { state: 'loading' }])
      return (json as Deployment).id
    })
  }
  const ended = (id: string) =>
    eventually(async () => {
      const record = await services.state.deployments.get(id)
      expect(record?.state).not.toBe('loading')
      return record as Deployment
    })
  /** Layer ranges that each resource holds. */
  const held = () => TIERS.map((tier) => services.engineOf(tier).loaded().sort())
  return {
    services,
    begin,
    ended,
    deploy: async (...given: Parameters<typeof begin>) => ended(await begin(...given)),
    undeploy,
    nothingElseHeld: (...expected: string[][]) => eventually(() => expect(held()).toEqual(expected)),
    /** The planner of the test ends, and another one starts. */
    restartPlanner: async (meanwhile: () => Promise<void>) => {
      await planner.close()
      await meanwhile()
      planner = await startPlanner(services.redisUrl)
    },
  }
}
