/**
 * What a service has acknowledged holds for its own next answer, and for that of every other service that is asked for it:
 * two planners and a benchmark service, each a process, over one Redis.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ManagedProcess } from '../../infra/start/processes/process.ts'
import type { OpenRedis } from '../../infra/start/redis/open-redis.ts'
import { createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { KnownRevision } from '../../shared/client/known-revision.ts'
import { createPlannerClient, type PlannerClient } from '../../shared/client/planner.ts'
import { createJsonClient } from '../../shared/client/http.ts'
import { Link } from '../../shared/contracts/resource.ts'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import { eventually } from '../support/eventually.ts'
import { exampleProfile } from '../support/fixtures.ts'
import { TEST_SERVERS } from '../redis/servers.ts'
import { log, putExample } from './harness.ts'
import { JSON_TYPE } from '../support/json-type.ts'

const ROUNDS = 100
/** Everything else in the way takes less, so the round trip decides which plan is best and what it costs. */
const QUERY = { model: 'chain', source: 'device', only: ['device', 'cloud'], top: 1 }

describe.each(TEST_SERVERS)('over $name', ({ open, skip }) => {
  describe.skipIf(skip)('two planners and a benchmark service', () => {
    let redis: OpenRedis
    let state: State
    let folder: string
    const processes: ManagedProcess[] = []
    const urls: Record<string, string> = {}

    beforeAll(async () => {
      redis = await open()
      folder = mkdtempSync(path.join(os.tmpdir(), 'scission-'))
      state = openState(workerConnection(redis.url))
      await putExample(state)
      const start = async (name: string, service: string) => {
        const process = new ManagedProcess({
          name,
          entry: new URL(`../../services/${service}/main.ts`, import.meta.url),
          env: {
            REDIS_URL: redis.url,
            SCISSION_PORT: '0',
            SCISSION_DATA: folder,
            SCISSION_LOG_LEVEL: 'error',
            // The example's machines have no services that would send heartbeats.
            SCISSION_HEARTBEAT_MS: '100000000',
          },
          log,
        })
        processes.push(process)
        await process.whenReady()
        urls[name] = process.url
        await eventually(async () => expect((await fetch(`${process.url}/readyz`)).status).toBe(200))
      }
      await Promise.all([start('one', 'planner'), start('two', 'planner'), start('benchmark', 'benchmark')])
      // Imported profiles stand beside the measured one, which plans prefer.
      await state.profiles.delete(profileOf(1).id)
      await benchmark().importProfiles(profileOf(1))
    })
    afterAll(async () => {
      for (const process of processes) await process.stop()
      state.redis.disconnect()
      await redis.close()
      rmSync(folder, { recursive: true, force: true })
    })

    const overrideLink = (planner: string, rttMs: number, known?: KnownRevision) =>
      createJsonClient('planner', urls[planner]!, known).request(Link, {
        method: 'PUT',
        url: '/v1/links/device/cloud',
        data: { rttMs, bandwidthMbps: 1000 },
      })
    const planner = (name: string, known?: KnownRevision) => createPlannerClient(urls[name]!, known)
    const benchmark = (known?: KnownRevision) => createBenchmarkClient(urls['benchmark']!, known)
    const bestMs = async (client: PlannerClient) => (await client.plans(QUERY)).plans[0]?.predictedMs ?? NaN
    const profileOf = (layerMs: number) => exampleProfile('cloud', Array(4).fill(layerMs))

    it('answer with the link that the same planner has just acknowledged', async () => {
      const client = planner('one')
      await overrideLink('one', 1)
      const nearest = await bestMs(client)
      for (let round = 1; round <= ROUNDS; round += 1) {
        const rttMs = 1 + (round % 20) / 10
        const { status } = await fetch(`${urls['one']}/v1/links/device/cloud`, {
          method: 'PUT',
          headers: JSON_TYPE,
          body: JSON.stringify({ rttMs, bandwidthMbps: 1000 }),
        })
        expect(status).toBe(200)
        expect(await bestMs(planner('one'))).toBeCloseTo(nearest + rttMs - 1, 6)
      }
    })

    it('answer with the link that the other planner has acknowledged, to clients that share what they know', async () => {
      const known = new KnownRevision()
      await overrideLink('one', 1, known)
      const nearest = await bestMs(planner('two', known))
      const names = ['one', 'two'] as const
      for (let round = 0; round < ROUNDS; round += 1) {
        const rttMs = 1 + (round % 20) / 10
        await overrideLink(names[round % 2]!, rttMs, known)
        expect(await bestMs(planner(names[(round + 1) % 2]!, known))).toBeCloseTo(nearest + rttMs - 1, 6)
      }
    })

    it('plan with the profile that the benchmark service has acknowledged, on both planners at once', async () => {
      const known = new KnownRevision()
      await overrideLink('one', 1, known)
      await benchmark(known).importProfiles(profileOf(0.1))
      const fast = await bestMs(planner('one', known))
      for (let round = 0; round < ROUNDS; round += 1) {
        const layerMs = 0.1 + (round % 20) / 100
        await benchmark(known).importProfiles(profileOf(layerMs))
        const answers = await Promise.all(['one', 'two'].map((name) => bestMs(planner(name, known))))
        for (const answer of answers) expect(answer).toBeCloseTo(fast + 4 * (layerMs - 0.1), 6)
      }
    })

    it('answer with all that anybody has written to a client that asks for the latest', async () => {
      const nearest = async (rttMs: number) => {
        await overrideLink('one', rttMs)
        // Another process, which was told of nothing.
        return bestMs(planner('two', new KnownRevision('latest')))
      }
      const first = await nearest(1)
      for (let round = 0; round < ROUNDS; round += 1) {
        const rttMs = 1 + (round % 20) / 10
        expect(await nearest(rttMs)).toBeCloseTo(first + rttMs - 1, 6)
      }
    })

    it('forget a link that was deleted, and keep many clients apart', async () => {
      await overrideLink('one', 1)
      const clients = Array.from({ length: 10 }, async (_, client) => {
        for (let round = 0; round < 10; round += 1) {
          const known = new KnownRevision()
          const [here, there] = (client + round) % 2 === 0 ? ['one', 'two'] : ['two', 'one']
          await benchmark(known).importProfiles(profileOf(1))
          expect((await planner(here, known).plans(QUERY)).plans).toHaveLength(1)
          expect((await planner(there, known).plans(QUERY)).plans).toHaveLength(1)
        }
      })
      await Promise.all(clients)
      const known = new KnownRevision()
      await createJsonClient('planner', urls['one']!, known).send({
        method: 'DELETE',
        url: '/v1/links/device/cloud',
        params: { all: true },
      })
      for (const name of ['one', 'two']) {
        const { plans } = await planner(name, known).plans({ ...QUERY, top: 50 })
        expect(plans.every(({ stages }) => stages.every(({ resource }) => resource === 'device'))).toBe(true)
      }
    })

    it('go on after Redis has lost its data, and do not wait for what was lost with it', async () => {
      const known = new KnownRevision()
      await overrideLink('one', 1, known)
      const lost = known.asked!
      await state.redis.flushall()
      await putExample(state)
      const ask = (url: string, revision: string) =>
        fetch(`${url}/v1/plans?model=chain&source=device`, {
          headers: { 'Scission-At-Least-Revision': revision },
        })
      for (const name of ['one', 'two']) expect((await ask(urls[name]!, lost)).status).toBe(200)
      await overrideLink('two', 5, known)
      expect(known.asked).not.toBe(lost)
      expect((await planner('one', known).links()).find(({ to }) => to === 'cloud')?.rttMs).toBeDefined()
      const now = await bestMs(planner('one', known))
      await overrideLink('two', 6, known)
      expect(await bestMs(planner('one', known))).toBeCloseTo(now + 1, 6)
    })

    it('refuse what is no revision', async () => {
      for (const name of Object.keys(urls)) {
        const headers = { 'Scission-At-Least-Revision': '12' }
        const address = name === 'benchmark' ? '/v1/models' : '/v1/plans?model=chain'
        const answer = await fetch(urls[name] + address, { headers })
        expect(answer.status).toBe(400)
        expect(await answer.text()).toMatch(/Scission-Revision/)
      }
    })
  })
})
