/** Faults of a plan query, over HTTP: each is a 4xx that names the fault, its field and the allowed values. */
import { describe, expect, it } from 'vitest'
import { linkId } from '../../shared/platform/redis/state.ts'
import { exampleProfile, exampleResource, exampleStructure, MODEL_ID } from '../support/fixtures.ts'
import { errorOf, plansOf, usePlanner } from './harness.ts'
import { eventually } from '../support/eventually.ts'
import { JSON_TYPE } from '../support/json-type.ts'

const { used, ask } = usePlanner()
const OTHER_MODEL = 'b'.repeat(64)
const idOf = (resource: string, changes = {}) => exampleProfile(resource, [1, 1, 1, 1], changes).id

describe('a query with one thing wrong', () => {
  it.each([
    // Unknown names, with the nearest that exists.
    ['model=chian', 404, 'notFound', /unknown model "chian"; did you mean chain\? known: chain/],
    [
      'model=chain&mustUseTiers=egde',
      404,
      'notFound',
      /mustUseTiers: unknown tier "egde"; did you mean edge\?/,
    ],
    ['model=chain&mustNotUseResources=clod', 404, 'notFound', /did you mean cloud\?/],
    ['model=chain&maxTierMs=devise:3', 404, 'notFound', /maxTierMs.*did you mean device\?/],
    ['model=chain&maxMemoryBytes=clout:3', 404, 'notFound', /maxMemoryBytes.*did you mean cloud\?/],
    ['model=chain&mustRunLayers=0:edgy', 404, 'notFound', /mustRunLayers.*did you mean edge\?/],
    ['model=chain&tensorOnDevice=t9', 404, 'notFound', /tensorOnDevice.*"t9"/],
    ['model=chain&busyWatts=devicee:3', 404, 'notFound', /busyWatts.*did you mean device\?/],
    ['model=chain&source=devic', 404, 'notFound', /source: unknown resource "devic"; did you mean device\?/],
    ['model=chain&objective=speed', 400, 'badRequest', /objective/],
    ['model=chain&codecs=q9', 400, 'badRequest', /codecs.*a codec is none, zstd/],
    [
      'model=chain&objectve=latency',
      400,
      'badRequest',
      /Unrecognized key: "objectve"; did you mean objective\?/,
    ],
    ['top=5', 400, 'badRequest', /model/],
    // Numbers out of range.
    ['model=chain&maxLatencyMs=-1', 400, 'badRequest', /maxLatencyMs/],
    ['model=chain&maxTierMs=edge:-5', 400, 'badRequest', /maxTierMs/],
    ['model=chain&maxUploadBytes=device:-1', 400, 'badRequest', /maxUploadBytes/],
    ['model=chain&maxTotalUploadBytes=-1', 400, 'badRequest', /maxTotalUploadBytes/],
    ['model=chain&busyWatts=device:-1', 400, 'badRequest', /busyWatts/],
    ['model=chain&weights=latency:-1&objective=weighted', 400, 'badRequest', /weights/],
    ['model=chain&maxTierShare=device:101', 400, 'badRequest', /maxTierShare.*100/],
    ['model=chain&maxAccuracyLoss=1.5', 400, 'badRequest', /maxAccuracyLoss/],
    ['model=chain&firstLayersOnDevice=5', 400, 'badRequest', /firstLayersOnDevice must be .*0 to 4, got: 5/],
    ['model=chain&firstLayersOnDevice=1.5', 400, 'badRequest', /firstLayersOnDevice/],
    ['model=chain&mustRunLayers=3-9:edge', 400, 'badRequest', /mustRunLayers.*0 ≤ from < to ≤ 4/],
    ['model=chain&mustRunLayers=edge', 400, 'badRequest', /mustRunLayers/],
    ['model=chain&maxLatencyMs=NaN', 400, 'badRequest', /maxLatencyMs/],
    ['model=chain&maxLatencyMs=Infinity', 400, 'badRequest', /maxLatencyMs/],
    ['model=chain&maxTierMs=edge:NaN', 400, 'badRequest', /maxTierMs/],
    ['model=chain&maxEnergyJ=1e999', 400, 'badRequest', /maxEnergyJ/],
    ['model=chain&top=1001', 400, 'badRequest', /top.*1000/],
    ['model=chain&top=1e12', 400, 'badRequest', /top.*1000/],
    ['model=chain&top=many', 400, 'badRequest', /top/],
    ['model=chain&timeLimitMs=0', 400, 'badRequest', /timeLimitMs/],
    ['model=chain&sensitivity=perhaps', 400, 'badRequest', /sensitivity/],
    // Contradictions.
    ['model=chain&minStages=3&maxStages=2', 400, 'badRequest', /maxStages/],
    ['model=chain&mustUseTiers=edge&mustNotUseTiers=edge', 422, 'infeasible', /edge/],
    ['model=chain&maxTierMs=edge:1,edge:2', 400, 'badRequest', /edge is given twice/],
    ['model=chain&objective=weighted', 400, 'badRequest', /weights/],
    ['model=chain&pareto=latency', 400, 'badRequest', /pareto/],
    ['model=chain&pareto=latency,latency', 400, 'badRequest', /pareto/],
    ['model=chain&objective=energy', 400, 'badRequest', /energy|busyWatts/],
    ['model=chain&view=graph&codecs=zstd', 400, 'badRequest', /codecs/],
    ['model=chain&view=graph&sensitivity=true', 400, 'badRequest', /sensitivity.*view=chain/],
    // Profiles that do not belong together.
    [`model=chain&profiles=${idOf('devicee')}`, 404, 'notFound', /unknown profile.*did you mean/],
  ])('%s is refused with %i %s', async (query, status, code, message) => {
    const answer = await ask(`/v1/plans?${query}`)
    expect(errorOf(answer)).toMatchObject({ code, message: expect.stringMatching(message) as string })
    expect(answer.status).toBe(status)
  })

  it('is refused alike as JSON, which has numbers of its own', async () => {
    for (const body of [
      { model: 'chain', maxLatencyMs: -1 },
      { model: 'chain', top: 1e12 },
      { model: 'chain', maxTierShare: { device: 250 } },
      { model: 'chain', slowdowns: { cloud: null } },
      { model: 'chain', links: { 'device>cloud': { rttMs: 'soon' } } },
      { model: 7 },
      [],
      'chain',
    ]) {
      const answer = await ask('/v1/plans', body)
      expect([answer.status, errorOf(answer).code]).toEqual([400, 'badRequest'])
    }
  })

  it('names all fields that are wrong at once', async () => {
    const { details } = errorOf(await ask('/v1/plans?model=chain&top=0&maxLatencyMs=-1'))
    expect(((details?.fields ?? []) as { field: string }[]).map(({ field }) => field).sort()).toEqual([
      'maxLatencyMs',
      'top',
    ])
  })
})

describe('profiles', () => {
  it('of another model, other shapes or other options are refused when named together', async () => {
    const options = { threads: 2, optimisation: 'all' as const }
    const strangers = [
      exampleProfile('edge', [1, 1, 1, 1], { model: OTHER_MODEL as never }),
      exampleProfile('edge', [1, 1, 1, 1], { shapesKey: 'ffffffffffff' as never }),
      exampleProfile('edge', [1, 1, 1, 1], { options }),
    ].map((profile) => ({
      ...profile,
      id: `${profile.model}.${profile.shapesKey}.edge.all-${profile.options.threads}`,
    }))
    for (const profile of strangers) await used.state.profiles.put(profile.id, profile)
    const [ofModel, ofShapes, ofOptions] = strangers.map(({ id }) => id)
    const reasons = [
      [ofModel, /is of another model/],
      [ofShapes, /is for other input shapes/],
      [ofOptions, /was measured with 2 threads.*edge runs with 1 thread .*options=any/],
    ] as const
    for (const [id, reason] of reasons) {
      await eventually(async () => {
        const answer = await ask(`/v1/plans?model=chain&profiles=${idOf('device')},${id}`)
        expect(errorOf(answer)).toMatchObject({
          code: 'badRequest',
          message: expect.stringMatching(reason) as string,
          details: { field: 'profiles', profile: id },
        })
      })
    }
    const chosen = await ask(
      `/v1/plans?model=chain&options=any&top=100&profiles=${idOf('device')},${idOf('edge')},${ofOptions}`,
    )
    expect(chosen.status).toBe(200)
    expect(plansOf(chosen).some((plan) => plan.id.includes('_t2-all'))).toBe(true)
  })

  it('with other options than the resource runs with now are left out and said so', async () => {
    await used.state.resources.put(
      'cloud',
      exampleResource('cloud', { options: { threads: 4, optimisation: 'all' } }),
    )
    await eventually(async () => {
      const { body } = await ask('/v1/plans?model=chain')
      expect(body.leftOut).toEqual([
        { resource: 'cloud', reason: expect.stringMatching(/1 thread .*4 threads .*benchmark/) as string },
      ])
    })
  })

  it('missing for a resource leave it out of the plans and list it', async () => {
    await used.state.profiles.delete(idOf('edge'))
    await eventually(async () => {
      const answer = await ask('/v1/plans?model=chain&top=100')
      expect(answer.body.leftOut).toEqual([
        { resource: 'edge', reason: expect.stringMatching(/no profile/) as string },
      ])
      const stages = plansOf(answer).flatMap((plan) => plan.stages.map((stage) => stage.resource))
      expect(stages).not.toContain('edge')
    })
  })

  it('of another number of layers than the model has leave their resource out', async () => {
    const short = exampleProfile('edge', [4, 4, 4])
    await used.state.profiles.put(short.id, short)
    await eventually(async () => {
      const { body } = await ask('/v1/plans?model=chain')
      expect(body.leftOut).toEqual([
        { resource: 'edge', reason: expect.stringMatching(/3 layers, the model has 4/) as string },
      ])
    })
  })

  it('that cannot be read leave the others usable', async () => {
    await used.state.redis.hset('scission:profiles', idOf('edge'), '{"not":"a profile"}')
    await used.state.redis.publish('scission:changes', JSON.stringify({ kind: 'profiles', id: idOf('edge') }))
    await eventually(async () => {
      const { status, body } = await ask('/v1/plans?model=chain')
      expect([status, body.leftOut]).toEqual([200, [expect.objectContaining({ resource: 'edge' })]])
    })
  })
})

describe('links', () => {
  it('that are missing are named by their pair', async () => {
    await used.state.links.delete(linkId('edge', 'cloud'))
    await used.state.links.delete(linkId('device', 'cloud'))
    await eventually(async () => {
      const { body } = await ask('/v1/plans?model=chain')
      expect(body.leftOut).toEqual([
        {
          resource: 'cloud',
          reason: expect.stringMatching(/device → cloud, edge → cloud not measured/) as string,
        },
      ])
    })
  })

  it('cannot be set backwards', async () => {
    const response = await fetch(`${used.url}/v1/links/cloud/device`, {
      method: 'PUT',
      headers: JSON_TYPE,
      body: '{"rttMs":1,"bandwidthMbps":1}',
    })
    expect(response.status).toBe(400)
    expect(await response.text()).toMatch(/later tier/)
  })
})

describe('resources', () => {
  it('that are all down are named, each with its last heartbeat', async () => {
    const heartbeatAt = new Date(Date.now() - 60_000).toISOString()
    for (const name of ['device', 'edge', 'cloud'])
      await used.state.resources.put(name, exampleResource(name, { heartbeatAt }))
    await eventually(async () => {
      const answer = await ask('/v1/plans?model=chain')
      expect([answer.status, errorOf(answer)?.message]).toEqual([
        409,
        expect.stringMatching(/device: no heartbeat since .*edge: no heartbeat/),
      ])
    })
  })
})

describe('a model without a structure or profiles', () => {
  it('is answered with what is missing', async () => {
    await used.state.structures.delete(`${MODEL_ID}.${exampleStructure().shapesKey}`)
    const gone = await eventually(async () => {
      const answer = await ask('/v1/plans?model=chain')
      expect(answer.status).not.toBe(200)
      return answer
    })
    expect([gone.status, errorOf(gone).code]).toEqual([404, 'notFound'])
  })

  it('or without any profile is notMeasured', async () => {
    for (const name of ['device', 'edge', 'cloud']) await used.state.profiles.delete(idOf(name))
    await eventually(async () => {
      const answer = await ask('/v1/plans?model=chain')
      expect([answer.status, errorOf(answer)?.code]).toEqual([409, 'notMeasured'])
    })
  })
})
