import { beforeEach, describe, expect, it } from 'vitest'
import { createPlannerClient } from '../../shared/client/planner.ts'
import { withLiveness } from '../../shared/contracts/resource.ts'
import { linkId } from '../../shared/platform/redis/state.ts'
import { eventually } from '../support/eventually.ts'
import { exampleResource } from '../support/fixtures.ts'
import { startPlanner } from '../support/services.ts'
import { startedOnce } from '../support/started.ts'
import { MEASUREMENTS, readDocument } from '../original/data.ts'
import { withBenchmarkService } from './harness.ts'
import { JSON_TYPE } from '../support/json-type.ts'

describe.each(MEASUREMENTS)('an import', ({ what, options, folder, networks, device, models }) => {
  describe(`of ${what}`, options, () => {
    const model = `original.${models.any}`
    const read = (name: 'profiles' | 'networks') => readDocument(folder(), name) as Record<string, unknown>
    const harness = withBenchmarkService()
    const planner = startedOnce(
      () => startPlanner(harness().redis.url),
      (one) => one.close(),
    )
    beforeEach(() => harness().state.redis.flushall())

    const send = async (body: unknown) => {
      const answer = await fetch(`${harness().url}/v1/profiles`, {
        method: 'POST',
        headers: JSON_TYPE,
        body: JSON.stringify(body),
      })
      return { status: answer.status, json: (await answer.json()) as Record<string, unknown[]> }
    }
    const document = () => ({
      ...read('profiles'),
      networks: read('networks'),
      network: networks[0],
    })

    it('are imported as models, machines, profiles and links; again changes nothing', async () => {
      const { status, json } = await send(document())
      expect(status).toBe(201)
      const { systems } = read('profiles') as { systems: Record<string, { models: object }> }
      const machines = Object.values(systems)
      expect(json['resources']).toHaveLength(machines.length)
      expect(json['models']).toHaveLength(new Set(machines.flatMap(({ models }) => Object.keys(models))).size)
      expect(json['profiles']).toHaveLength(
        machines.reduce((count, { models }) => count + Object.keys(models).length, 0),
      )
      expect(json['links']?.length).toBeGreaterThan(0)
      const before = await harness().state.profiles.ids()
      expect((await send(document())).status).toBe(201)
      expect(await harness().state.profiles.ids()).toEqual(before)
      for (const link of await harness().state.links.all()) expect(link.source).toBe('imported')
    })

    it('leave a link as it is overridden, and wait beneath', async () => {
      await send(document())
      const [{ from, to, rttMs } = { from: '', to: '', rttMs: NaN }] = await harness().state.links.all()
      const client = createPlannerClient(planner().url)
      await client.setLink(from, to, { rttMs: rttMs + 1, bandwidthMbps: 1 })
      await send(document())
      expect(await harness().state.links.need(linkId(from, to))).toMatchObject({ source: 'override' })
      expect((await client.forgetLink(from, to)).link).toMatchObject({ source: 'imported', rttMs })
    })

    it('can be planned with, beside services of this system, and never deployed', async () => {
      await harness().state.resources.put('device', exampleResource('device'))
      await send(document())
      const client = createPlannerClient(planner().url)
      // The planner hears of each document that was stored a moment later.
      const { answer, used } = await eventually(async () => {
        const plans = await client.plans({ model, source: device, cuts: 'any' })
        const resources = plans.plans.flatMap((plan) => plan.stages.map((stage) => stage.resource))
        expect(resources.length).toBeGreaterThan(0)
        return { answer: plans, used: resources }
      })
      expect(used).not.toContain('device')
      await expect(client.deploy({ plan: answer.plans[0]?.id ?? '' })).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringMatching(/was imported .* not deployed/) as string,
      })
    })

    it('come with machines that are never alive', async () => {
      await send(document())
      for (const resource of await harness().state.resources.all())
        expect(withLiveness(resource, 60_000, Date.now()).alive).toBe(false)
      const started = fetch(`${harness().url}/v1/benchmarks`, {
        method: 'POST',
        headers: JSON_TYPE,
        body: JSON.stringify({ model, resources: [device] }),
      })
      expect((await started).status).toBeGreaterThanOrEqual(400)
    })

    it('are refused when a service of this system has a name of theirs, or when they are not what they seem', async () => {
      await harness().state.resources.put(device, exampleResource('device', { name: device }))
      expect((await send(document())).status).toBe(409)
      expect(await harness().state.models.ids()).toEqual([])
      expect((await send({ systems: { cloud: { nothing: true } } })).status).toBe(400)
      expect((await send({ ...document(), network: 'no-such.csv' })).status).toBe(404)
    })
  })
})
