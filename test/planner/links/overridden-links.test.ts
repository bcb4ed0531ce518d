/** What holds of a link once its override is deleted: at once, for all planners, after restarts and after Redis lost its data. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { OpenRedis } from '../../../infra/start/redis/open-redis.ts'
import { KnownRevision } from '../../../shared/client/known-revision.ts'
import { createPlannerClient, type PlannerClient } from '../../../shared/client/planner.ts'
import { workerConnection } from '../../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../../shared/platform/redis/state.ts'
import { toyEngine } from '../../inference/support/toy-models.ts'
import { postJson, startInference, type TestService } from '../../inference/support/service.ts'
import { TEST_SERVERS } from '../../redis/servers.ts'
import { eventually, until } from '../../support/eventually.ts'
import { exampleLink } from '../../support/fixtures.ts'
import { type StartedPlanner, startPlanner } from '../../support/services.ts'
import { putExample } from '../harness.ts'

/** The round trip of the link decides what the plan costs. */
const QUERY = { model: 'chain', source: 'device', only: ['device', 'cloud'], top: 1, minStages: 2 }
const bestMs = async (client: PlannerClient) => (await client.plans(QUERY)).plans[0]?.predictedMs ?? NaN
const SET = { rttMs: 500, bandwidthMbps: 8, returnBandwidthMbps: 8 }

describe.each(TEST_SERVERS)('over $name', ({ open, skip }) => {
  describe.skipIf(skip)('the override of a link', () => {
    let redis: OpenRedis
    let state: State
    let planners: StartedPlanner[]

    beforeAll(async () => {
      redis = await open()
      state = openState(workerConnection(redis.url))
    })
    afterAll(async () => {
      state.redis.disconnect()
      await redis.close()
    })
    beforeEach(async () => {
      await state.redis.flushall()
      await putExample(state)
      planners = await Promise.all([startPlanner(redis.url), startPlanner(redis.url)])
    })
    afterEach(async () => {
      for (const planner of planners) await planner.close()
    })
    const client = (at: number, known?: KnownRevision) => createPlannerClient(planners[at]!.url, known)
    const link = () => state.links.get('device>cloud')

    it('leaves what was measured once it is deleted, for the next plan of any planner', async () => {
      const measured = await bestMs(client(0))
      for (let round = 0; round < 20; round += 1) {
        const known = new KnownRevision()
        await client(0, known).setLink('device', 'cloud', SET)
        // Set twice: what is beneath is not the former override.
        await client(1, known).setLink('device', 'cloud', { ...SET, rttMs: 400 })
        expect(await bestMs(client(0, known))).toBeCloseTo(measured + 399, 6)
        const { link: now, note } = await client(1, known).forgetLink('device', 'cloud')
        expect(now).toMatchObject({ source: 'measured', rttMs: 1 })
        expect(note).toMatch(/^the link device → cloud is as measured at .* again$/)
        expect(await bestMs(client(1, known))).toBeCloseTo(measured, 6)
        expect(await bestMs(client(0, known))).toBeCloseTo(measured, 6)
      }
    })

    it('is deleted by several clients at once as by one', async () => {
      for (let round = 0; round < 10; round += 1) {
        await client(0).setLink('device', 'cloud', SET)
        const answers = await Promise.all([0, 1, 0, 1].map((at) => client(at).forgetLink('device', 'cloud')))
        for (const { link: now } of answers) expect(now).toMatchObject({ source: 'measured', rttMs: 1 })
        expect(await link()).toMatchObject({ source: 'measured', rttMs: 1 })
        expect((await client(0).forgetLink('device', 'cloud')).note).toMatch(
          /was not overridden: it stays as/,
        )
      }
      // Set and deleted at once: whichever came last, what was measured is not lost.
      await Promise.all([
        client(0).setLink('device', 'cloud', SET),
        client(1).forgetLink('device', 'cloud'),
        client(1).setLink('device', 'cloud', SET),
      ])
      expect((await client(0).forgetLink('device', 'cloud')).link).toMatchObject({ source: 'measured' })
    })

    it('leaves it to a planner that starts after the override was set, and to one after it was deleted', async () => {
      const measured = await bestMs(client(0))
      await client(0).setLink('device', 'cloud', SET)
      await planners[0]!.close()
      planners[0] = await startPlanner(redis.url)
      expect(await bestMs(client(0))).toBeCloseTo(measured + 499, 6)
      await client(0).forgetLink('device', 'cloud')
      await planners[0].close()
      planners[0] = await startPlanner(redis.url)
      expect(await bestMs(client(0))).toBeCloseTo(measured, 6)
    })

    it('keeps what is beneath it when Redis loses all', async () => {
      await client(0).setLink('device', 'cloud', SET)
      await until(async () => (await client(0).links()).some(({ source }) => source === 'override'))
      await eventually(() => state.redis.get('scission:memory').then((mark) => expect(mark).not.toBeNull()))
      await state.redis.flushall()
      await until(async () => (await link())?.source === 'override')
      const { link: now } = await client(1, new KnownRevision('latest')).forgetLink('device', 'cloud')
      expect(now).toMatchObject({ source: 'measured', rttMs: 1 })
    })

    it('with nothing beneath leaves an answer that says who measures it', async () => {
      await state.links.delete('device>cloud')
      await client(0).setLink('device', 'cloud', SET)
      expect(await client(0).forgetLink('device', 'cloud')).toEqual({
        note: 'the link device → cloud is not known now: device measures it now, which takes some seconds; plans do without it until then',
      })
      await expect(client(0).forgetLink('device', 'cloud')).rejects.toThrow('unknown link "device>cloud"')
    })

    it('leaves figures that were imported, and these are forgotten only if that is asked for', async () => {
      await state.links.put('device>cloud', exampleLink('device', 'cloud', { source: 'imported', rttMs: 3 }))
      await client(0).setLink('device', 'cloud', SET)
      expect((await client(0).forgetLink('device', 'cloud')).link).toMatchObject({
        source: 'imported',
        rttMs: 3,
      })
      expect((await client(0).forgetLink('device', 'cloud', true)).link).toBeUndefined()
      expect(await link()).toBeUndefined()
    })

    describe('between services that run', () => {
      const machines: TestService[] = []
      beforeEach(async () => {
        await state.redis.flushall()
        for (const tier of ['device', 'cloud']) {
          const settings = {
            SCISSION_RESOURCE: tier,
            SCISSION_TIER: tier,
            SCISSION_LINK_INTERVAL_MS: '3600000',
          }
          machines.push(await startInference(redis.url, settings, toyEngine([])))
        }
        await until(async () => (await link())?.source === 'measured')
      })
      afterEach(async () => {
        for (const machine of machines.splice(0)) await machine.stop()
      })

      it('does not end the measuring: what was measured meanwhile holds then', async () => {
        await client(0).setLink('device', 'cloud', SET)
        const measuredAt = (await link())?.overridden?.measuredAt
        await postJson(`${machines[0]!.url}/v1/links/measure`, { to: ['cloud'] })
        const beneath = (await link())?.overridden
        expect(beneath?.measuredAt).not.toBe(measuredAt)
        const { link: now } = await client(0).forgetLink('device', 'cloud')
        expect(now).toMatchObject({ ...beneath, source: 'measured' })
      })

      it('that was deleted is not written back to a Redis that has lost all', async () => {
        await client(0).setLink('device', 'cloud', SET)
        await postJson(`${machines[0]!.url}/v1/links/measure`, { to: ['cloud'] })
        const { link: measured } = await client(0).forgetLink('device', 'cloud')
        await until(async () => (await client(1).links()).every(({ source }) => source === 'measured'))
        await eventually(() => state.redis.get('scission:memory').then((mark) => expect(mark).not.toBeNull()))
        await state.redis.flushall()
        await until(async () => (await link()) !== undefined)
        expect(await link()).toMatchObject({ source: 'measured', measuredAt: measured?.measuredAt })
      })

      it('that is forgotten with all that is known is measured at once', async () => {
        const before = await link()
        const { link: now, note } = await client(0).forgetLink('device', 'cloud', true)
        expect([now, note]).toEqual([undefined, expect.stringMatching(/device measures it now/)])
        await until(async () => (await link()) !== undefined)
        expect((await link())?.measuredAt).not.toBe(before?.measuredAt)
      })
    })
  })
})
