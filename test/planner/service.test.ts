import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createPlannerClient } from '../../shared/client/planner.ts'
import { CHANGES_CHANNEL } from '../../shared/platform/redis/changes.ts'
import { linkId } from '../../shared/platform/redis/state.ts'
import { eventually } from '../support/eventually.ts'
import {
  exampleDeployment,
  exampleLink,
  exampleModel,
  exampleResource,
  exampleStructure,
  hop,
} from '../support/fixtures.ts'
import { startTestRedis } from '../support/redis.ts'
import { startInference } from '../inference/support/service.ts'
import { toyEngine } from '../inference/support/toy-models.ts'
import { startPlanner } from '../support/services.ts'
import { stubServer } from '../support/stub-server.ts'
import { usePlanner } from './harness.ts'
import { JSON_TYPE } from '../support/json-type.ts'

const { used, ask } = usePlanner()

/** A resource that answers its deployments as told, and remembers what it was asked. */
async function fakeResource(
  name: string,
  status = 200,
): Promise<{ calls: string[]; close: () => Promise<void> }> {
  const calls: string[] = []
  const { url, close } = await stubServer((req, res) => {
    calls.push(`${req.method} ${req.url}`)
    const error = { code: 'invalidModel', message: `${name} cannot load it` }
    res.writeHead(status, { 'Content-Type': 'application/json' })
    res.end(status === 200 ? '{"ready":true}' : JSON.stringify({ error }))
  })
  await used.state.resources.put(name, exampleResource(name, { url }))
  return { calls, close }
}

describe('plans', () => {
  it('are ranked, with every machine alone beside them and a reason', async () => {
    const answer = await createPlannerClient(used.url).plans({ model: 'chain' })
    // 4 ms in the cloud + 1 ms round trip + 1000 B up and 40 B back at 1 kB/ms.
    expect(answer.plans[0]?.stages.map((stage) => stage.resource)).toEqual(['cloud'])
    expect(answer.plans[0]?.predictedMs).toBeCloseTo(4 + 1 + 1 + 0.04, 6)
    expect(new Set(answer.native.map((plan) => plan.stages[0]?.resource))).toEqual(
      new Set(['cloud', 'device', 'edge']),
    )
    expect(answer.why).toMatch(/cloud/)
    const predicted = answer.plans.map((plan) => plan.predictedMs)
    expect(predicted).toEqual([...predicted].sort((a, b) => a - b))
  })

  it('keep the first layers on the device and use two machines when asked', async () => {
    const { body } = await ask('/v1/plans?model=chain&firstLayersOnDevice=1&minStages=2&top=1')
    const plan = (body.plans as { stages: { resource: string; to: number }[] }[])[0]
    expect(plan?.stages[0]).toMatchObject({ resource: 'device' })
    expect(plan?.stages.length).toBe(2)
  })

  it('use a network preset as a what-if and say so', async () => {
    const { body } = await ask('/v1/plans?model=chain&network=3g')
    expect((body.plans as { stages: { resource: string }[] }[])[0]?.stages[0]?.resource).toBe('device')
    expect(body.emulated).toBe(true)
    expect(String(body.notes)).toMatch(/what-if/)
  })

  it('leave out a machine whose heartbeat stopped, with the reason', async () => {
    await used.state.resources.put(
      'cloud',
      exampleResource('cloud', { heartbeatAt: new Date(Date.now() - 60_000).toISOString() }),
    )
    await eventually(async () => {
      const { body } = await ask('/v1/plans?model=chain')
      expect(body.leftOut).toEqual([
        expect.objectContaining({
          resource: 'cloud',
          reason: expect.stringMatching(/no heartbeat/) as string,
        }),
      ])
    })
  })

  it('say what to do where the model was never measured with the input shapes asked for', async () => {
    const open = exampleModel({ inputs: [{ name: 'x', datatype: 'FP32', shape: ['N', 250] }] })
    await used.state.models.put(open.id, open)
    await eventually(async () => {
      const answer = await ask('/v1/plans?model=chain&shapes=x:3x250')
      expect(answer.status).toBe(409)
      expect(answer.body.error).toMatchObject({
        code: 'notMeasured',
        message: expect.stringMatching(/not been measured with input shapes x:3x250: benchmark it/) as string,
      })
    })
  })

  it('follow a changed link without being asked to look', async () => {
    await used.state.links.put(linkId('device', 'cloud'), exampleLink('device', 'cloud', { rttMs: 1000 }))
    await eventually(async () => {
      const { body } = await ask('/v1/plans?model=chain&top=1')
      expect((body.plans as { stages: { resource: string }[] }[])[0]?.stages[0]?.resource).not.toBe('cloud')
    })
  })

  it.each([
    ['/v1/plans?model=nothing', 404, 'notFound', /unknown model "nothing"; known: chain/],
    ['/v1/plans?model=chain&top=0', 400, 'badRequest', /top/],
    ['/v1/plans?model=chain&nonsense=1', 400, 'badRequest', /nonsense/],
    ['/v1/plans?model=chain&mustUseTiers=moon', 404, 'notFound', /moon/],
    ['/v1/plans?model=chain&firstLayersOnDevice=99', 400, 'badRequest', /firstLayersOnDevice/],
    ['/v1/plans?model=chain&mustUseTiers=edge&mustNotUseTiers=edge', 422, 'infeasible', /edge/],
    ['/v1/plans?model=chain&shapes=x:9x9', 400, 'badRequest', /x/],
  ])('%s is refused with %i %s', async (path, status, code, message) => {
    const answer = await ask(path)
    expect(answer.status).toBe(status)
    const error = answer.body.error as { code: string; message: string }
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
  })
})

describe('links', () => {
  it('can be overridden, and the plans follow', async () => {
    const client = createPlannerClient(used.url)
    const response = await fetch(`${used.url}/v1/links/device/cloud`, {
      method: 'PUT',
      headers: JSON_TYPE,
      body: JSON.stringify({ rttMs: 500, bandwidthMbps: 1 }),
    })
    expect(response.status).toBe(200)
    const links = await client.links()
    expect(links.find((link) => link.to === 'cloud' && link.from === 'device')).toMatchObject({
      rttMs: 500,
      source: 'override',
      returnBandwidthMbps: 1,
    })
    const removed = await fetch(`${used.url}/v1/links/device/cloud`, { method: 'DELETE' })
    expect(removed.status).toBe(200)
    expect(await removed.json()).toMatchObject({ link: { source: 'measured', rttMs: 1 } })
    expect(
      (await client.links()).find((link) => link.to === 'cloud' && link.from === 'device'),
    ).toMatchObject({
      rttMs: 1,
      source: 'measured',
    })
  })

  it('to a machine that has left are not listed until it is there again', async () => {
    const client = createPlannerClient(used.url)
    const listed = async () => (await client.links()).map(({ from, to }) => linkId(from, to)).sort()
    const all = await listed()
    expect(all).toContain('device>edge')
    const edge = await used.state.resources.need('edge')
    await used.state.resources.delete('edge')
    expect(await listed()).toEqual(all.filter((id) => !id.includes('edge')))
    await used.state.resources.put('edge', edge)
    expect(await listed()).toEqual(all)
  })

  it('between unknown resources are refused', async () => {
    const response = await fetch(`${used.url}/v1/links/device/moon`, {
      method: 'PUT',
      headers: JSON_TYPE,
      body: '{"rttMs":1,"bandwidthMbps":1}',
    })
    expect(response.status).toBe(404)
  })
})

describe('deployments', () => {
  const bestPlan = async (query: string) => {
    const { body } = await ask(`/v1/plans?model=chain&top=1&${query}`)
    return (body.plans as { id: string }[])[0]?.id ?? ''
  }
  const post = async (plan: string, name?: string, alternates?: string[], answer?: string) => {
    const response = await fetch(`${used.url}/v1/deployments`, {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ plan, name, alternates, answer, verify: false }),
    })
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as { id: string },
    }
  }

  it('become ready once every machine on the path is, and are taken away from all of them', async () => {
    const fakes = await Promise.all(['device', 'edge', 'cloud'].map((name) => fakeResource(name)))
    const created = await post(await bestPlan('firstLayersOnDevice=1&minStages=2'), 'mine')
    expect(created.status).toBe(202)
    expect(created.headers.get('location')).toBe('/v1/deployments/mine')
    await eventually(async () =>
      expect((await ask('/v1/deployments/mine')).body).toMatchObject({ state: 'ready' }),
    )
    expect(fakes[0]?.calls).toEqual(['PUT /v1/deployments/mine?resource=device'])
    await fetch(`${used.url}/v1/deployments/mine`, { method: 'DELETE' })
    expect(fakes[0]?.calls).toEqual([
      'PUT /v1/deployments/mine?resource=device',
      expect.stringMatching(/^DELETE \/v1\/deployments\/mine\?createdAt=2/),
    ])
    expect((await ask('/v1/deployments/mine')).status).toBe(404)
    await Promise.all(fakes.map((fake) => fake.close()))
  })

  it('have others of a tier stand in only where the request names them', async () => {
    const fakes = await Promise.all(['device', 'edge', 'cloud'].map((name) => fakeResource(name)))
    await used.state.resources.put('cloud2', exampleResource('cloud2', { tier: 'cloud', tierIndex: 2 }))
    await eventually(async () =>
      expect((await ask('/v1/resources')).body).toMatchObject({
        items: expect.arrayContaining([expect.objectContaining({ name: 'cloud2' })]) as unknown,
      }),
    )
    const plan = await bestPlan('mustUseResources=cloud&maxStages=1')
    expect(JSON.stringify((await post(plan, 'alone')).body)).not.toContain('alternates')
    expect((await post(plan, 'helped', ['cloud2', 'edge'])).body).toMatchObject({
      hops: [{ resource: 'device' }, { resource: 'cloud', alternates: ['cloud2'] }],
    })
    expect((await post(plan, 'mistaken', ['cloud9'])).status).toBe(404)
    expect(JSON.stringify((await post(plan, 'back')).body)).not.toContain('"answer"')
    expect((await post(plan, 'straight', [], 'direct')).body).toMatchObject({ answer: 'direct' })
    expect((await post(plan, 'sideways', [], 'sideways')).status).toBe(400)
    await Promise.all(fakes.map((fake) => fake.close()))
  })

  it('enter at the source even when it runs nothing', async () => {
    const fakes = await Promise.all(['device', 'edge', 'cloud'].map((name) => fakeResource(name)))
    const { body } = await post(await bestPlan('mustUseTiers=cloud&maxStages=1'))
    expect(body).toMatchObject({
      entry: { resource: 'device' },
      hops: [
        { resource: 'device', from: 0, to: 0 },
        { resource: 'cloud', from: 0, to: 4 },
      ],
    })
    await eventually(async () =>
      expect((await ask(`/v1/deployments/${body.id}`)).body).toMatchObject({ state: 'ready' }),
    )
    await Promise.all(fakes.map((fake) => fake.close()))
  })

  it('are loaded where a machine listens now, before its new address was announced', async () => {
    const plan = await bestPlan('mustUseTiers=device&maxStages=1')
    const device = await fakeResource('device')
    const moved = await used.state.resources.need('device')
    // As if the planner had not read it: its copy still has the address that nobody answers at.
    await used.state.resources.put('device', exampleResource('device', { url: 'http://127.0.0.1:9' }))
    const shown = async () => (await createPlannerClient(used.url).resources()).map(({ url }) => url)
    await eventually(async () => expect(await shown()).toContain('http://127.0.0.1:9'))
    await used.state.redis.hset('scission:resources', 'device', JSON.stringify(moved))
    const { body } = await post(plan, 'moved')
    await eventually(async () =>
      expect((await ask(`/v1/deployments/${body.id}`)).body).toMatchObject({ state: 'ready' }),
    )
    expect(device.calls).toEqual(['PUT /v1/deployments/moved?resource=device'])
    await device.close()
  })

  it('fail with the machine and its reason, and release what the others loaded', async () => {
    const device = await fakeResource('device')
    const cloud = await fakeResource('cloud', 422)
    const { body } = await post(await bestPlan('mustUseTiers=device,cloud&mustNotUseTiers=edge'))
    await eventually(async () => {
      expect((await ask(`/v1/deployments/${body.id}`)).body).toMatchObject({
        state: 'failed',
        error: expect.stringMatching(/cloud: cloud cannot load it/) as string,
      })
    })
    await eventually(() => expect(device.calls.at(-1)).toMatch(/^DELETE/))
    await Promise.all([device.close(), cloud.close()])
  })

  it('fail where another machine, or no service of ours, answers at an address', async () => {
    const other = await startInference(
      used.redisUrl,
      { SCISSION_RESOURCE: 'other', SCISSION_TIER: 'edge' },
      toyEngine([]),
    )
    const stranger = await stubServer((_req, res) => res.end('hello'))
    for (const [url, reason] of [
      [other.url, /this is other: device was looked for at .*Set SCISSION_PUBLIC_URL of device/],
      [stranger.url, /resource device at .* answered PUT .* with something unexpected/],
    ] as const) {
      await used.state.resources.put('device', exampleResource('device', { url }))
      const { body } = await post(await bestPlan('only=device'))
      await eventually(async () => {
        const { state, error } = (await ask(`/v1/deployments/${body.id}`)).body
        expect([state, error]).toEqual(['failed', expect.stringMatching(reason)])
      })
    }
    await other.stop()
    await stranger.close()
  })

  it('of unknown plans are refused', async () => {
    for (const plan of ['nonsense', `${'b'.repeat(64)}.${exampleStructure().shapesKey}.device.device_0-4`]) {
      const { status, body } = await post(plan)
      expect(status).toBe(404)
      expect(body).toMatchObject({ error: { code: 'notFound' } })
    }
  })
})

describe('the events of a deployment', () => {
  it('leave no subscription behind when their client is gone before they begin', async () => {
    const { redis, deployments } = used.state
    await deployments.put('live', exampleDeployment('live', [hop('device', 0, 4)]))
    const followers = async () => Number((await redis.pubsub('NUMSUB', CHANGES_CHANNEL))[1])
    await eventually(async () => expect(await followers()).toBe(1))
    const port = Number(new URL(used.url).port)
    const leave = () =>
      new Promise<void>((resolve) => {
        const socket = net.connect(port, '127.0.0.1').once('close', () => resolve())
        socket.write('GET /v1/deployments/live/events HTTP/1.1\r\nHost: here\r\n\r\n', () => socket.destroy())
      })
    for (let client = 0; client < 20; client += 1) await leave()
    await sleep(300)
    expect(await followers()).toBe(1)
  })
})

describe('when Redis is lost', () => {
  it('what needs it is 503 at once, and the service itself stays up', async () => {
    const own = await startTestRedis()
    const lost = await startPlanner(own.url)
    await own.close()
    await eventually(async () => {
      const response = await fetch(`${lost.url}/v1/deployments`)
      expect(response.status).toBe(503)
      expect(await response.json()).toMatchObject({ error: { code: 'queueUnavailable' } })
    })
    expect((await fetch(`${lost.url}/healthz`)).status).toBe(200)
    expect((await fetch(`${lost.url}/readyz`)).status).toBe(503)
    await lost.close()
  })
})
