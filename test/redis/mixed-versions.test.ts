/** Documents that this version cannot read, and of a newer one, beside its own: every list of the three services goes on. */
import { beforeAll, afterAll, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import {
  exampleCalibration,
  exampleDeployment,
  exampleLink,
  exampleModel,
  exampleProfile,
  exampleResource,
  exampleStructure,
  hop,
} from '../support/fixtures.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { startBenchmark, type StartedService, startPlanner } from '../support/services.ts'
import { linkId, structureId } from '../../shared/platform/redis/state.ts'
import { startInference, type TestService } from '../inference/support/service.ts'

const redis = withTestRedis()
const folder = withFolder('mixed-versions')
let [benchmark, planner]: StartedService[] = []
let inference: TestService | undefined

const model = exampleModel()
const profile = exampleProfile('edge', [1, 1, 1, 1])
const structure = exampleStructure()
const deployment = exampleDeployment('live', [hop('edge', 0, 4)])
const at = new Date().toISOString()
/** Kind → a document of it, its id, and a field whose new value this version does not know. */
const KINDS: Record<string, [document: object, id: string, newer: object]> = {
  models: [model, model.id, { createdAt: 'by the newest clock' }],
  structures: [structure, structureId(structure.model, structure.shapesKey), { open: 'partly' }],
  resources: [exampleResource('edge'), 'edge', { source: 'simulated' }],
  links: [exampleLink('edge', 'cloud'), linkId('edge', 'cloud'), { source: 'guessed' }],
  profiles: [profile, profile.id, { source: 'guessed' }],
  served: [
    { id: profile.id, scale: 1, spread: 0, samples: 1, updatedAt: at },
    profile.id,
    { samples: 'many' },
  ],
  paces: [{ resource: 'edge' }, 'edge', {}],
  deployments: [deployment, 'live', { state: 'paused' }],
  'stand-ins': [{ deployment: 'live', hop: 0 }, 'live 0', {}],
  calibrations: [exampleCalibration('c1'), 'c1', { state: 'paused' }],
  conditions: [
    { id: 'a', kind: 'lost-machine', message: 'm', by: 'edge', since: at },
    'a',
    { kind: 'new-kind' },
  ],
}

beforeAll(async () => {
  const client = redis().state.redis
  // Links between registered machines are listed.
  await redis().state.resources.put('cloud', exampleResource('cloud'))
  for (const [kind, [document, id, newer]] of Object.entries(KINDS)) {
    const key = `scission:${kind}`
    await client.hset(key, id, JSON.stringify({ ...document, ofANewerVersion: { a: [1] } }))
    await client.hset(key, 'not-json', 'hello {')
    await client.hset(key, 'newer', JSON.stringify({ ...document, ...newer }))
  }
  const env = { REDIS_URL: redis().url, SCISSION_DATA: folder(), SCISSION_PORT: '0' }
  benchmark = await startBenchmark(env)
  planner = await startPlanner(env.REDIS_URL)
  inference = await startInference(redis().url, {
    SCISSION_DATA: folder(),
    SCISSION_RESOURCE: 'device',
    SCISSION_TIER: 'device',
  })
})
afterAll(async () => {
  await inference?.stop()
  await planner?.close()
  await benchmark?.close()
})

it.each<[string, () => string, string[]]>([
  ['/v1/models', () => benchmark!.url, [model.id]],
  ['/v1/profiles', () => benchmark!.url, [profile.id]],
  ['/v1/profiles?model=chain', () => benchmark!.url, [profile.id]],
  ['/v1/calibrations', () => benchmark!.url, ['c1']],
  ['/v1/benchmarks', () => benchmark!.url, []],
  ['/v1/resources', () => planner!.url, ['edge']],
  ['/v1/links', () => planner!.url, ['edge']],
  ['/v1/deployments', () => planner!.url, ['live']],
  ['/v1/conditions', () => planner!.url, ['a']],
])('GET %s lists what can be read', async (path, url, expected) => {
  await eventually(async () => {
    const answer = await fetch(`${url()}${path}`)
    const { items } = (await answer.json()) as { items: Record<string, string>[] }
    const ids = items.map(({ id, name, from }) => id ?? from ?? name)
    expect([answer.status, ids]).toEqual([200, expect.arrayContaining(expected)])
    expect(ids).not.toContain('newer')
    expect(ids.filter((one) => expected.includes(one!))).toHaveLength(expected.length)
  })
})

it.each([
  ['GET', '/v2/models/stats'],
  ['POST', '/v2/repository/index'],
  ['GET', '/v2/health/ready'],
  ['GET', '/healthz'],
])('%s %s of an inference service answers', async (method, path) => {
  const answer = await fetch(`${inference!.url}${path}`, { method })
  expect([answer.status, await answer.text()]).toEqual([200, expect.not.stringContaining('not-json')])
})
