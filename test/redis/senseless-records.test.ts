/**
 * Records of machines, links, profiles and deployments that are JSON and make no sense: they are never written, and if they stand in Redis
 * all the same they are left out and said, beside those that do make sense.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { OpenRedis } from '../../infra/start/redis/open-redis.ts'
import { MOST_LAYERS } from '../../shared/contracts/sense.ts'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import type { Collection } from '../../shared/platform/redis/collection.ts'
import { linkId, openState, type State } from '../../shared/platform/redis/state.ts'
import { putExample } from '../planner/harness.ts'
import { eventually } from '../support/eventually.ts'
import { exampleDeployment, exampleLink, exampleProfile, exampleResource, hop } from '../support/fixtures.ts'
import { withFolder } from '../support/folder.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { type StartedService, startBenchmark, startPlanner } from '../support/services.ts'
import { TEST_SERVERS } from './servers.ts'

const FOUR = [1, 1, 1, 1]
const resource = exampleResource('edge', { name: 'odd' })
const link = exampleLink('odd', 'cloud')
const profile = exampleProfile('odd', FOUR)
const deployment = exampleDeployment('odd', [hop('device', 0, 2), hop('cloud', 2, 4)])
/** In JSON the least text that is no finite number. */
const ENDLESS = '1e999'

type Nonsense = [what: string, changes: object]
/** What differs from a record that makes sense; the text '1e999' is written as that number. */
const NONSENSE: { kind: 'resources' | 'links' | 'profiles' | 'deployments'; id: string; odd: Nonsense[] }[] =
  [
    {
      kind: 'resources',
      id: 'odd',
      odd: [
        ['a negative tier', { tierIndex: -1 }],
        ['a tier beyond all', { tierIndex: 100 }],
        ['half a core', { machine: { ...resource.machine, cores: 0.5 } }],
        ['less than no memory', { machine: { ...resource.machine, memoryBytes: -1 } }],
        ['endless memory', { machine: { ...resource.machine, memoryBytes: ENDLESS } }],
        ['a speed of nothing', { slowdown: 0 }],
        ['a speed that is no number', { slowdown: null }],
        ['an endless slowness', { slowdown: ENDLESS }],
        ['no thread', { options: { threads: 0, optimisation: 'all' } }],
        ['the name of another', { name: 'edge' }],
        ['a name that leads out of a folder', { name: '../odd' }],
        ['an address of a file', { url: 'file:///etc/passwd' }],
        ['an address with a password', { url: 'http://a:b@127.0.0.1:1' }],
        ['a heartbeat that is no time', { heartbeatAt: 'yesterday' }],
        ['a list in the place of a text', { tier: ['edge'] }],
        ['a text without end', { instance: 'x'.repeat(100_000) }],
        ['a source of a later version', { source: 'simulated' }],
      ],
    },
    {
      kind: 'links',
      id: linkId('odd', 'cloud'),
      odd: [
        ['a negative round trip', { rttMs: -1 }],
        ['a round trip that is no number', { rttMs: null }],
        ['an endless round trip', { rttMs: ENDLESS }],
        ['a huge round trip', { rttMs: 1e16 }],
        ['no bandwidth', { bandwidthMbps: 0 }],
        ['an endless bandwidth', { returnBandwidthMbps: ENDLESS }],
        ['ends of another link', { from: 'device' }],
        ['a way to itself', { to: 'odd' }],
        [
          'figures of another link beneath',
          { source: 'override', overridden: { ...exampleLink('device', 'cloud') } },
        ],
        ['half a probe', { basis: { probes: 0.5, traffic: 0 } }],
        ['a time that is none', { measuredAt: 12 }],
      ],
    },
    {
      kind: 'profiles',
      id: profile.id,
      odd: [
        ['no layers', { layerMs: [] }],
        ['a negative time', { layerMs: [1, -1, 1, 1] }],
        ['a time that is no number', { layerMs: [1, null, 1, 1] }],
        ['an endless time', { layerMs: [1, ENDLESS, 1, 1] }],
        ['more layers than any network', { layerMs: Array.from({ length: MOST_LAYERS + 1 }, () => 1) }],
        ['spreads of other layers', { layers: [{ ms: 1, lowMs: 1, highMs: 1 }] }],
        ['costs of too few boundaries', { enterMs: FOUR }],
        ['costs of too many boundaries', { exitMs: [...FOUR, ...FOUR] }],
        ['a cut beyond its layers', { anchors: [{ k: 5, ms: 1, prefixMs: 1 }] }],
        ['a negative cut', { anchors: [{ k: -1, ms: 1, prefixMs: 1 }] }],
        ['the id of another', { id: 'another' }],
        ['a model that is none', { model: 'chain' }],
        ['a name that is none', { resource: '__proto__' }],
        ['less than no memory', { peakRssBytes: -1 }],
        ['a slowdown below 1', { slowdown: 0.5 }],
      ],
    },
    {
      kind: 'deployments',
      id: 'odd',
      odd: [
        ['no hop', { hops: [] }],
        ['a hop that ends before it begins', { hops: [hop('device', 0, 2), hop('cloud', 2, 1)] }],
        ['a gap', { hops: [hop('device', 0, 2), hop('cloud', 3, 4)] }],
        ['a hop of less than no layers', { hops: [hop('device', -1, 4)] }],
        ['one machine twice', { hops: [hop('device', 0, 1), hop('cloud', 1, 2), hop('device', 2, 4)] }],
        ['an entry that is no hop', { entry: { resource: 'edge', url: 'http://127.0.0.1:1' } }],
        ['a prediction that is no number', { predictedMs: null }],
        ['the id of another', { id: 'live' }],
      ],
    },
  ]

const textOf = (record: object, changes: object) =>
  JSON.stringify({ ...record, ...changes }).replaceAll(`"${ENDLESS}"`, ENDLESS)
const RECORDS = { resources: resource, links: link, profiles: profile, deployments: deployment }

describe.each(TEST_SERVERS)('on $name', ({ open, skip }) => {
  const folder = withFolder('senseless')
  let redis: OpenRedis
  let state: State
  let planner: StartedService
  let benchmark: StartedService
  const told = recordedLog()

  beforeAll(async () => {
    if (skip) return
    redis = await open()
    state = openState(workerConnection(redis.url), told.log)
    await putExample(state)
    await state.deployments.put('live', exampleDeployment('live', [hop('device', 0, 4)]))
    planner = await startPlanner(redis.url, {}, told.log)
    benchmark = await startBenchmark({ REDIS_URL: redis.url, SCISSION_DATA: folder() })
  })
  afterAll(async () => {
    await benchmark?.close()
    await planner?.close()
    state?.redis.disconnect()
    await redis?.close()
  })

  /** Of all that was announced before. */
  const plannerHasHeard = async () => {
    heard += 1
    await state.resources.put('cloud', exampleResource('cloud', { instance: `run ${heard}` }))
    await eventually(async () =>
      expect(await (await fetch(`${planner.url}/v1/resources`)).text()).toContain(`"run ${heard}"`),
    )
  }
  let heard = 0

  const LISTS: [string, () => string, number][] = [
    ['resources', () => `${planner.url}/v1/resources`, 3],
    ['links', () => `${planner.url}/v1/links`, 3],
    ['profiles', () => `${benchmark.url}/v1/profiles`, 3],
    ['deployments', () => `${planner.url}/v1/deployments`, 1],
  ]

  describe.each(NONSENSE)('$kind', ({ kind, id, odd }) => {
    const collection = () => state[kind] as unknown as Collection<object>

    it.skipIf(skip).each(odd)(
      'with %s are not written, and left out where they stand',
      async (_, changes) => {
        const text = textOf(RECORDS[kind], changes)
        const record = JSON.parse(text) as object
        await expect(collection().put(id, record)).rejects.toMatchObject({
          code: 'badRequest',
          message: expect.stringContaining('makes no sense') as string,
        })
        expect(await collection().has(id)).toBe(false)
        const said = () => told.lines.filter((line) => line.startsWith(`left out: ${kind} ${id} in Redis is`))
        const before = said().length
        await state.redis.hset(`scission:${kind}`, id, text)
        await state.redis.publish('scission:changes', JSON.stringify({ kind, id }))
        await plannerHasHeard()
        await collection().all()
        expect(said().length).toBeGreaterThan(before)
        for (const [name, url, count] of LISTS) {
          const answer = await fetch(url())
          const { items } = (await answer.json()) as { items: object[] }
          expect([name, answer.status, items.length]).toEqual([name, 200, count])
        }
        expect((await fetch(`${planner.url}/v1/plans?model=chain`)).status).toBe(200)
        await collection().delete(id)
        await state.redis.publish('scission:changes', JSON.stringify({ kind, id }))
      },
    )

    it.skipIf(skip)('with none of it are taken', async () => {
      await collection().put(id, RECORDS[kind])
      expect(await collection().get(id)).toEqual(RECORDS[kind])
      await collection().delete(id)
    })
  })
})
