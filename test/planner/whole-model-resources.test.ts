/** Which resources may run a whole model to verify a deployment, and why others may not. */
import { beforeEach, expect, it } from 'vitest'
import { wholeModelResources } from '../../services/planner/verification/whole-model-resources.ts'
import type { Profile } from '../../shared/contracts/profile.ts'
import {
  exampleDeployment,
  exampleProfile,
  exampleResource,
  exampleStructure,
  hop,
} from '../support/fixtures.ts'
import { withTestRedis } from '../support/redis.ts'

const redis = withTestRedis()
const structure = { ...exampleStructure(), weightBytes: 5000 }
const split = exampleDeployment('split', [hop('device', 0, 2), hop('edge', 2, 4)])

beforeEach(() => redis().state.redis.flushall())

async function found(profiles: readonly Profile[]) {
  const deps = {
    state: redis().state,
    mirror: { profiles: new Map(profiles.map((profile) => [profile.id, profile])) },
    heartbeatMs: 10_000,
    now: () => Date.now(),
  }
  const { able, unable } = await wholeModelResources(deps, split, structure)
  return { able: able.map(({ name }) => name), unable }
}
const put = (tier: string, changes = {}) => redis().state.resources.put(tier, exampleResource(tier, changes))

it('are those of its path and those on which it was measured, the fastest first', async () => {
  for (const tier of ['device', 'edge', 'cloud']) await put(tier)
  const profiles = [exampleProfile('device', [9, 9, 9, 9]), exampleProfile('cloud', [1, 1, 1, 1])]
  expect(await found(profiles)).toEqual({ able: ['cloud', 'device', 'edge'], unable: [] })
  expect((await found([])).able).toEqual(['device', 'edge'])
  const imported = exampleProfile('cloud', [1, 1, 1, 1], { source: 'imported' })
  expect((await found([imported])).able).toEqual(['device', 'edge'])
})

it('are first those that hold it for a deployment', async () => {
  for (const tier of ['device', 'edge']) await put(tier)
  const native = exampleDeployment('native', [hop('edge', 0, 4)], { state: 'ready' })
  await redis().state.deployments.put('native', native)
  const profiles = [exampleProfile('device', [1, 1, 1, 1]), exampleProfile('edge', [9, 9, 9, 9])]
  expect((await found(profiles)).able).toEqual(['edge', 'device'])
})

it('are none that is lost, imported, unknown, or has less memory than its weights', async () => {
  const { machine } = exampleResource('device')
  await put('device', { machine: { ...machine, memoryBytes: 4999 } })
  await put('edge', { source: 'imported' })
  await put('cloud', { heartbeatAt: '2026-01-01T00:00:00.000Z' })
  const { able, unable } = await found([
    exampleProfile('cloud', [1, 1, 1, 1]),
    exampleProfile('elsewhere', [1, 1, 1, 1]),
  ])
  expect(able).toEqual([])
  expect(unable).toEqual([
    'cloud: no heartbeat since 2026-01-01T00:00:00.000Z',
    'device: 5000 bytes of weights, and device has 4999 of memory',
    'edge: it was imported with its measurements: there is no service',
    'elsewhere: it is not registered',
  ])
})
