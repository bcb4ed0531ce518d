/** Machines, links and profiles written by hand, and imported profiles beside measured ones. */
import { beforeEach, describe, expect, it } from 'vitest'
import { createPlannerClient } from '../../shared/client/planner.ts'
import { structureId } from '../../shared/platform/redis/state.ts'
import { eventually } from '../support/eventually.ts'
import {
  exampleModel,
  exampleProfile,
  exampleResource,
  exampleStructure,
  MODEL_ID,
} from '../support/fixtures.ts'
import { startPlanner } from '../support/services.ts'
import { startedOnce } from '../support/started.ts'
import { withBenchmarkService } from './harness.ts'
import { JSON_TYPE } from '../support/json-type.ts'

const harness = withBenchmarkService()
const planner = startedOnce(
  () => startPlanner(harness().redis.url),
  (one) => one.close(),
)
const measured = exampleProfile('device', [1, 2, 3, 4])

beforeEach(async () => {
  const { state } = harness()
  // Each is announced: the planner would bring back what a loss of all takes away.
  for (const kind of [state.profiles, state.links, state.resources])
    for (const id of await kind.ids()) await kind.delete(id)
  await state.models.put(MODEL_ID, exampleModel())
  await state.structures.put(structureId(MODEL_ID, exampleStructure().shapesKey), exampleStructure())
  await state.resources.put('device', exampleResource('device'))
  await state.profiles.put(measured.id, measured)
})

const call = async (method: string, path: string, body?: unknown) => {
  const init = { method, ...(body !== undefined && { headers: JSON_TYPE, body: JSON.stringify(body) }) }
  const answer = await fetch(`${harness().url}${path}`, init)
  return { status: answer.status, text: await answer.text() }
}
const send = (body: unknown) => call('POST', '/v1/profiles', body)

const PLAIN = {
  machines: [{ name: 'lab-pi', tier: 'device' }],
  links: [{ from: 'lab-pi', to: 'lab-server', rttMs: 1, bandwidthMbps: 8 }],
  profiles: [
    { model: 'chain', resource: 'lab-pi', layerMs: [10, 10, 10, 10] },
    { model: 'chain', resource: 'lab-server', tier: 'cloud', slowdown: 2, layerMs: [0.5, 0.5, 0.5, 0.5] },
  ],
}

describe('a plain document', () => {
  it('is stored, and planned with', async () => {
    const { status, text } = await send(PLAIN)
    expect([status, JSON.parse(text)]).toEqual([
      201,
      {
        models: [],
        resources: ['lab-pi', 'lab-server'],
        links: ['lab-pi>lab-server'],
        profiles: PLAIN.profiles.map(
          ({ resource }) => `${measured.id.replace('.device.', `.${resource}.`)}.imported`,
        ),
      },
    ])
    const client = createPlannerClient(planner().url)
    await eventually(async () => {
      const { plans } = await client.plans({ model: 'chain', source: 'lab-pi', top: 1 })
      // 1000 bytes at 1000 bytes a ms, the round trip, four layers of 1 ms and 40 bytes back.
      expect(plans[0]).toMatchObject({
        stages: [{ resource: 'lab-server', from: 0, to: 4 }],
        predictedMs: 6.04,
      })
    })
    await expect(client.resources()).resolves.toContainEqual(
      expect.objectContaining({ name: 'lab-pi', source: 'imported', alive: false }),
    )
  })

  it('may be one of its parts, or a list of them; the same again changes nothing', async () => {
    for (const [part] of [PLAIN.machines, [PLAIN.profiles[1]], PLAIN.links])
      expect((await send(part)).status).toBe(201)
    expect((await send([...PLAIN.machines, ...PLAIN.links, ...PLAIN.profiles])).status).toBe(201)
    expect((await harness().state.resources.ids()).sort()).toEqual(['device', 'lab-pi', 'lab-server'])
    expect(await harness().state.profiles.ids()).toHaveLength(3)
  })

  it('leaves what a link is overridden with, and waits beneath', async () => {
    await send(PLAIN)
    const client = createPlannerClient(planner().url)
    await client.setLink('lab-pi', 'lab-server', { rttMs: 9, bandwidthMbps: 9 })
    await send([{ ...PLAIN.links[0], rttMs: 2 }])
    expect(await harness().state.links.need('lab-pi>lab-server')).toMatchObject({
      source: 'override',
      rttMs: 9,
    })
    const { link } = await client.forgetLink('lab-pi', 'lab-server')
    expect(link).toMatchObject({ source: 'imported', rttMs: 2 })
  })

  const profile = { model: 'chain', resource: 'device', layerMs: [1, 1, 1, 1] }
  it.each([
    [{ ...profile, layerMs: [1, 1] }, 400, /profiles\[0\]\.layerMs: has 2 times, model chain has 4 layers/],
    [{ ...profile, layerMs: [1, 1, -1, 1] }, 400, /profiles\.0\.layerMs\.2: /],
    [{ ...profile, layerMS: 1 }, 400, /layerMS/],
    [{ model: 'chain', resource: 'device' }, 400, /profiles\.0\.layerMs: /],
    [{ ...profile, model: 'nosuch' }, 404, /profiles\[0\]\.model: unknown model .*nosuch/],
    [{ ...profile, resource: 'nosuch' }, 400, /profiles\[0\]\.resource: there is no machine .*nosuch/],
    [{ ...profile, resource: 'new', tier: 'fog' }, 400, /profiles\[0\]\.tier: .*device, edge, cloud/],
    [{ ...profile, tier: 'edge' }, 400, /profiles\[0\]\.tier: device is in device/],
    [{ ...profile, inputShapes: { x: [2, 250] } }, 400, /profiles\[0\]\.inputShapes: /],
    [{ name: 'Lab Pi', tier: 'device' }, 400, /machines\.0\.name: /],
    [{ name: 'device', tier: 'device' }, 409, /device is an inference service/],
    [{ from: 'device', to: 'gone', rttMs: 1, bandwidthMbps: 1 }, 400, /links\[0\]\.to: there is no machine/],
    [{ from: 'device', to: 'gone', rttMs: 1 }, 400, /links\.0\.bandwidthMbps: /],
    [{ ...PLAIN, links: [{ ...PLAIN.links[0], from: 'lab-server' }] }, 400, /links\[0\]\.to: .*later tier/],
  ])('is refused with the field that is wrong: %j', async (body, status, reason) => {
    const refused = await send(body)
    expect([refused.status, refused.text]).toEqual([status, expect.stringMatching(reason)])
    expect(await harness().state.profiles.ids()).toEqual([measured.id])
    expect(await harness().state.resources.ids()).toEqual(['device'])
  })
})

describe('an imported profile of a machine that is measured here', () => {
  const elsewhere = exampleProfile('device', [10, 20, 30, 40])
  const imported = `${measured.id}.imported`
  const predicted = async (profiles?: string[]) => {
    const asked = { model: 'chain', top: 1, ...(profiles && { profiles }) }
    return (await createPlannerClient(planner().url).plans(asked)).plans[0]?.predictedMs
  }

  it.each([
    ['as this program writes it', elsewhere],
    ['written by hand', { model: 'chain', resource: 'device', layerMs: elsewhere.layerMs }],
  ])('stands beside the measured one: %s', async (_, body) => {
    expect((await send(body)).status).toBe(201)
    expect(await harness().state.profiles.need(measured.id)).toEqual(measured)
    expect(await harness().state.profiles.need(imported)).toMatchObject({ id: imported, source: 'imported' })
    await eventually(async () => expect(await predicted([imported])).toBe(100))
    expect(await predicted()).toBe(10)
    await expect(predicted([measured.id, imported])).rejects.toMatchObject({
      code: 'badRequest',
      message: expect.stringMatching(/name one/) as string,
    })
  })

  it('is planned with once the measured one is deleted, and deleted like it', async () => {
    await send(elsewhere)
    expect(await call('DELETE', `/v1/profiles/${measured.id}`)).toEqual({ status: 204, text: '' })
    await eventually(async () => expect(await predicted()).toBe(100))
    expect((await call('DELETE', `/v1/profiles/${imported}`)).status).toBe(204)
    expect((await call('DELETE', `/v1/profiles/${imported}`)).status).toBe(404)
    expect(await harness().state.profiles.ids()).toEqual([])
  })
})
