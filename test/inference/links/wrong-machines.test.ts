/** Links to a machine at whose address another one answers: nothing is recorded under its name, and that is said once. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { OpenRedis } from '../../../infra/start/redis/open-redis.ts'
import { writeAnsweredBy } from '../../../services/inference/links/answered-by.ts'
import { workerConnection } from '../../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../../shared/platform/redis/state.ts'
import { SERVER_TIMING, writeServerTiming } from '../../../shared/platform/transfer-times.ts'
import { TEST_SERVERS } from '../../redis/servers.ts'
import { until } from '../../support/eventually.ts'
import { exampleLink, exampleResource } from '../../support/fixtures.ts'
import { stubServer } from '../../support/stub-server.ts'
import { call, postJson, startInference, type TestService } from '../support/service.ts'
import { toyEngine } from '../support/toy-models.ts'

const INSTANCE = 'the-edge-that-is-meant'
const CONDITION = 'wrong-machine/device/edge'

interface Told {
  resource: string
  instance: string
}

describe.each(TEST_SERVERS)('over $name', ({ open, skip }) => {
  describe.skipIf(skip)('the link to a machine', () => {
    let redis: OpenRedis
    let state: State
    let device: TestService
    let cloud: TestService
    const closing: (() => Promise<unknown>)[] = []

    beforeAll(async () => {
      redis = await open()
      state = openState(workerConnection(redis.url))
    })
    afterAll(async () => {
      state.redis.disconnect()
      await redis.close()
    })
    const start = async (name: string, redisUrl = redis.url): Promise<TestService> => {
      const settings = { SCISSION_RESOURCE: name, SCISSION_TIER: name, SCISSION_LINK_INTERVAL_MS: '3600000' }
      const service = await startInference(redisUrl, settings, toyEngine([]))
      closing.push(() => service.stop())
      return service
    }
    beforeEach(async () => {
      await state.redis.flushall()
      device = await start('device')
      cloud = await start('cloud')
    })
    afterEach(async () => {
      for (const close of closing.splice(0).reverse()) await close()
    })

    const register = (url: string) =>
      state.resources.put('edge', exampleResource('edge', { url, instance: INSTANCE }))
    const measure = () => postJson(`${device.url}/v1/links/measure`, { to: ['edge'] })
    const metric = async (name: string) => {
      const { body } = await call('GET', `${device.url}/metrics`)
      return Number(new RegExp(`^${name}{kind="wrong-machine"} (\\d+)$`, 'm').exec(body.toString())?.[1])
    }
    /** What answers anything with 200, as some web servers do. @param health of /healthz. */
    const anything = async (health: object | string, status = 200, told?: Told): Promise<string> => {
      const stub = await stubServer((req, res, body) => {
        const path = new URL(req.url ?? '/', 'http://stub')
        if (path.pathname === '/healthz')
          return res.writeHead(status).end(typeof health === 'string' ? health : JSON.stringify(health))
        const timing = writeServerTiming(0, { restBytes: 0, slope: 0, lateMs: 0 })
        res.setHeader(SERVER_TIMING, told ? `${timing}, ${writeAnsweredBy(told)}` : timing)
        const bytes = Number(path.searchParams.get('bytes') ?? 1)
        return res.end(req.method === 'GET' ? Buffer.alloc(bytes) : String(body.length))
      })
      closing.push(() => stub.close())
      return stub.url
    }
    const ADDRESSES: [string, () => Promise<string>, RegExp][] = [
      ['another machine', async () => cloud.url, /the inference service "cloud" answered/],
      ['the one that asks', async () => device.url, /the inference service "device" answered/],
      ['a planner', () => anything({ service: 'planner' }), /the planner service answered/],
      [
        'a web server',
        () => anything('<html>hello</html>'),
        /something that is no service of Scission answered/,
      ],
      [
        'a web server without that page',
        () => anything('gone', 404),
        /something that is no service of Scission/,
      ],
      [
        'an edge of another system',
        () => anything({ service: 'inference', resource: 'edge', instance: 'other' }),
        /another service called "edge" answered/,
      ],
    ]

    it.each(ADDRESSES)(
      'at whose address %s is, is not measured, which is said once',
      async (_what, at, who) => {
        const before = exampleLink('device', 'edge', { rttMs: 123 })
        await state.links.put('device>edge', before)
        await register(await at())
        for (let round = 0; round < 3; round += 1) {
          const { status, json } = await measure()
          const message = expect.stringMatching(who) as string
          expect([status, json]).toMatchObject([502, { error: { code: 'peerUnavailable', message } }])
        }
        // What was known stays, and grows old.
        expect(await state.links.get('device>edge')).toEqual(before)
        await until(async () => (await state.conditions.get(CONDITION)) !== undefined)
        const { message } = await state.conditions.need(CONDITION)
        expect(message).toMatch(/^device looked for edge at http:\/\/127\.0\.0\.1:\d+, and .* answered: /)
        expect(message).toMatch(
          /set SCISSION_PUBLIC_URL of edge to an address of its own that device can reach$/,
        )
        expect(await metric('scission_conditions_active')).toBe(1)
        expect(await metric('scission_conditions_total')).toBe(1)
      },
    )

    it('that answers itself is measured, also by an earlier version, which does not say who it is', async () => {
      for (const told of [{ resource: 'edge', instance: INSTANCE }, undefined]) {
        const health = { service: 'inference', resource: 'edge', instance: INSTANCE }
        await register(await anything(health, 200, told))
        const { status, json } = await measure()
        expect([status, json]).toMatchObject([200, { links: [{ from: 'device', to: 'edge' }] }])
      }
      expect(await state.conditions.all()).toEqual([])
    })

    it('whose address nobody answers at, or a proxy before it, says no more than that', async () => {
      const gone = await anything('')
      await closing.pop()?.()
      const proxy = await stubServer((_req, res) => res.writeHead(502).end('bad gateway'))
      closing.push(() => proxy.close())
      for (const url of [gone, proxy.url]) {
        await register(url)
        const { status, json } = await measure()
        const message = expect.stringMatching(/the link to edge .* cannot be measured/) as string
        expect([status, json]).toMatchObject([502, { error: { message } }])
      }
      expect(await state.conditions.all()).toEqual([])
    })

    it('is measured once its address is right, and that it was wrong is over', async () => {
      await register(cloud.url)
      await measure()
      await until(async () => (await state.conditions.get(CONDITION)) !== undefined)
      await state.resources.delete('edge')
      await start('edge')
      await until(async () => (await state.links.get('device>edge')) !== undefined)
      await until(async () => (await state.conditions.get(CONDITION)) === undefined)
      expect(await metric('scission_conditions_active')).toBe(0)
    })
  })
})
