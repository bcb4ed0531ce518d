/** Clients that computed the first layers themselves enter a deployment at its cut: toys compute, all else is the service. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../support/eventually.ts'
import { type Hop, hop } from '../support/fixtures.ts'
import { call, errorOf, parametersOf, postJson, valuesOf } from './support/service.ts'
import { branchedModel, X, Y } from './support/toy-models.ts'
import { withToyServices } from './support/toy-services.ts'

const toy = branchedModel('a')
const services = withToyServices([toy])
const { start, stop, urlOf, engineOf } = services

/** The tensors of boundary 1 and of boundary 2 for the input X. */
const A = { name: 'a', shape: [2], datatype: 'FP32', data: [2, 4] }
const B = { name: 'b', shape: [2], datatype: 'FP32', data: [3, 5] }

const deploy = (id: string, hops: Hop[], changes = {}) =>
  services.deploy(services.deploymentOf(id, hops, changes))
const addressOf = (at: string, id: string, range: string) => `${urlOf(at)}/v2/models/${id}/layers/${range}`
const enter = (at: string, id: string, range: string, inputs: object[], more: object = {}) =>
  postJson(`${addressOf(at, id, range)}/infer`, { inputs, ...more })

const THREE = [
  hop('device', 0, 1),
  hop('edge', 1, 2, { codec: 'zstd', alternates: ['edge2'] }),
  hop('cloud', 2, 3),
]

beforeAll(async () => {
  for (const tier of ['device', 'edge', 'cloud']) await start(tier)
  await start('edge2', { SCISSION_TIER: 'edge' })
  await deploy('three', THREE)
})
afterAll(() => Promise.all(['device', 'edge', 'edge2', 'cloud'].map(stop)))

describe('a deployment entered at its cut', () => {
  it('answers as it does at its entry, and reports the hops that ran', async () => {
    const answer = await enter('edge', 'three', '1-3', [A], { id: 'r1' })
    expect([answer.status, valuesOf(answer.json)]).toEqual([200, Y.data])
    expect(answer.json).toMatchObject({ model_name: 'three:1-3', model_version: '1', id: 'r1' })
    expect(parametersOf(answer.json)).toMatchObject({
      scission_hops: 2,
      scission_hop1_resource: 'edge',
      scission_hop1_layers: '1-2',
      scission_hop2_resource: 'cloud',
      scission_totalMs: expect.any(Number),
    })
    expect(engineOf('device').runs).toEqual([])
    expect((await enter('cloud', 'three', '2-3', [A, B])).json).toMatchObject({ outputs: [Y] })
    expect((await enter('device', 'three', '0-3', [X])).json).toMatchObject({ outputs: [Y] })
  })

  it('is described, ready and counted under its own name', async () => {
    for (const at of ['device', 'edge', 'cloud']) {
      const { json } = await call('GET', addressOf(at, 'three', '1-3'))
      expect(json).toMatchObject({
        name: 'three:1-3',
        inputs: [{ name: 'a', datatype: 'FP32', shape: [2] }],
        outputs: [{ name: 'y', datatype: 'FP32', shape: [2] }],
        properties: {
          deployment: 'three',
          layers: '1-3',
          codec: 'zstd',
          entry: addressOf('edge', 'three', '1-3'),
          path: 'edge:1-2 cloud:2-3',
        },
      })
    }
    const byName = `${urlOf('edge')}/v2/models/three:1-3`
    expect((await call('GET', `${byName}/ready`)).status).toBe(200)
    const repository = `${urlOf('edge')}/v2/repository/models/three:1-3`
    expect((await postJson(`${repository}/load`, {})).status).toBe(200)
    expect((await postJson(`${repository}/unload`, {})).status).toBe(409)
    expect((await call('GET', byName)).json).toMatchObject({ name: 'three:1-3' })
    expect((await postJson(`${byName}/infer`, { inputs: [A] })).json).toMatchObject({ outputs: [Y] })
    const { json } = await call('GET', `${byName}/stats`)
    expect(json).toMatchObject({ model_stats: [{ name: 'three:1-3', inference_count: expect.any(Number) }] })
    const metrics = (await call('GET', `${urlOf('edge')}/metrics`)).body.toString()
    expect(metrics).toMatch(
      /scission_inference_requests_total\{model="three:1-3",version="1",outcome="success"\} [1-9]/,
    )
    expect(metrics).toContain('route="/v2/models/:model/layers/:from-:to/infer"')
  })

  it('hands on deadline, headers and wanted outputs', async () => {
    const outputs = [{ name: 'y' }]
    const answer = await enter('edge', 'three', '1-3', [A], { outputs, parameters: { timeout: 20_000_000 } })
    expect(valuesOf(answer.json)).toEqual(Y.data)
    expect((await enter('edge', 'three', '1-3', [A], { outputs: [{ name: 'b' }] })).status).toBe(400)
    await deploy('slow', [hop('device', 0, 1), hop('edge', 1, 2), hop('cloud', 2, 3)], { fallback: 'none' })
    engineOf('cloud').runMs = 3_600_000
    const late = await enter('edge', 'slow', '1-3', [A], { parameters: { timeout: 60_000 } })
    expect(late.status).toBe(504)
  })

  it('takes the place of its resource on a stand-in', async () => {
    const answer = await enter('edge2', 'three', '1-3', [A])
    expect([answer.status, valuesOf(answer.json)]).toEqual([200, Y.data])
    expect(parametersOf(answer.json)).toMatchObject({
      scission_hop1_resource: 'edge2',
      scission_hop1_insteadOf: 'edge',
    })
  })

  it('lets a client name no hop, plan or slot', async () => {
    const parameters = { scission_hop: 2, scission_plan: 'another', scission_slot: 'f'.repeat(32) }
    await deploy('direct', [hop('device', 0, 1), hop('edge', 1, 2), hop('cloud', 2, 3)], { answer: 'direct' })
    const answer = await enter('edge', 'direct', '1-3', [A], { parameters })
    expect([answer.status, valuesOf(answer.json)]).toEqual([200, Y.data])
    expect(parametersOf(answer.json)).toMatchObject({ scission_hops: 2, scission_hop2_layers: '2-3' })
  })

  it('begins at the first stage where the source computes nothing', async () => {
    await deploy('native-cloud', [hop('device', 0, 0), hop('cloud', 0, 3)])
    for (const at of ['device', 'cloud']) {
      const answer = await enter(at, 'native-cloud', '0-3', [X])
      expect([at, answer.status, valuesOf(answer.json)]).toEqual([at, 200, Y.data])
    }
  })

  it('refuses wrong tensors in words that name them', async () => {
    for (const [inputs, message] of [
      [[X], /unexpected input tensor "x"; expected "a"/],
      [[], /missing input tensor "a"/],
      [[{ ...A, shape: [1], data: [1] }], /"a" has shape \[1\], expected \[2\]/],
    ] as const) {
      const answer = await enter('edge', 'three', '1-3', [...inputs])
      expect([answer.status, errorOf(answer.json)]).toEqual([400, expect.stringMatching(message)])
    }
  })
})

describe('a deployment asked for layers elsewhere', () => {
  it.each(['1-2', '2-2', '0-2', '3-3', '1-4', '5-9'])(
    '%s is a 400 that lists its cuts and where to send them',
    async (range) => {
      for (const [method, suffix] of [
        ['GET', ''],
        ['POST', '/infer'],
      ] as const) {
        const url = `${addressOf('device', 'three', range)}${suffix}`
        const answer = await call(
          method,
          url,
          method === 'POST' ? JSON.stringify({ inputs: [A] }) : undefined,
        )
        expect(answer.status).toBe(400)
        for (const [resource, from] of Object.entries({ device: 0, edge: 1, cloud: 2 }))
          expect(errorOf(answer.json)).toContain(`${from}-3 at ${addressOf(resource, 'three', `${from}-3`)}`)
        expect(errorOf(answer.json)).toContain(`under the model ${toy.model.id}`)
      }
      const load = `${urlOf('device')}/v2/repository/models/three:${range}/load`
      expect((await call('POST', load)).status).toBe(400)
    },
  )

  it('is a 404 that names the address, and loads nothing there', async () => {
    await start('stranger', { SCISSION_TIER: 'edge' })
    for (const at of ['device', 'stranger']) {
      const answer = await enter(at, 'three', '2-3', [A, B])
      expect(answer.status).toBe(404)
      expect(errorOf(answer.json)).toContain(
        `resource cloud: POST ${addressOf('cloud', 'three', '2-3')}/infer`,
      )
    }
    expect(engineOf('stranger').loaded()).toEqual([])
    await stop('stranger')
  })

  it('names a resource that is not registered', async () => {
    await services.state.deployments.put(
      'onto-nobody',
      services.deploymentOf('onto-nobody', [hop('device', 0, 1), hop('nobody', 1, 3)]),
    )
    const answer = await enter('device', 'onto-nobody', '1-3', [A])
    expect([answer.status, errorOf(answer.json)]).toEqual([
      404,
      expect.stringContaining('nobody, which is not registered'),
    ])
  })

  it('is a 404 for another version', async () => {
    expect((await call('GET', `${urlOf('edge')}/v2/models/three:1-3/versions/2`)).status).toBe(404)
  })
})

describe('behind a cut', () => {
  it('the rest runs where the client entered when the next resource is lost', async () => {
    await deploy('fallback', [hop('device', 0, 1), hop('edge', 1, 2), hop('cloud', 2, 3)])
    await until(async () => engineOf('edge').loaded().includes('branched:2-3'))
    await stop('cloud')
    const answer = await enter('edge', 'fallback', '1-3', [A])
    expect([answer.status, valuesOf(answer.json)]).toEqual([200, Y.data])
    expect(parametersOf(answer.json)).toMatchObject({
      scission_hop2_resource: 'edge',
      scission_hop2_insteadOf: 'cloud',
    })
    await start('cloud')
  })

  it('a request fails with the name of the resource where nothing else may run it', async () => {
    await deploy('none', [hop('device', 0, 1), hop('edge', 1, 2), hop('cloud', 2, 3)], { fallback: 'none' })
    await stop('cloud')
    const answer = await enter('edge', 'none', '1-3', [A])
    expect([answer.status, errorOf(answer.json)]).toEqual([502, expect.stringContaining('cloud')])
    await start('cloud')
  })

  it('the cut moves with the plan', async () => {
    await deploy('moving', [hop('device', 0, 1), hop('edge', 1, 3)])
    expect((await enter('edge', 'moving', '1-3', [A])).status).toBe(200)
    await deploy('moving', [hop('device', 0, 2), hop('edge', 2, 3)], { planId: 'another' })
    await until(async () => (await enter('edge', 'moving', '2-3', [A, B])).status === 200)
    const old = await enter('edge', 'moving', '1-3', [A])
    expect([old.status, errorOf(old.json)]).toEqual([
      400,
      expect.stringContaining(`2-3 at ${addressOf('edge', 'moving', '2-3')}`),
    ])
  })

  it('a resource that was restarted loads its stage again', async () => {
    await stop('edge')
    await start('edge')
    const answer = await enter('edge', 'three', '1-3', [A])
    expect([answer.status, valuesOf(answer.json)]).toEqual([200, Y.data])
  })
})
