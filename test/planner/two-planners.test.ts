/** Two planners over one Redis: what both do to one deployment at once ends as if one had done it. */
import { JSON_TYPE } from '../support/json-type.ts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Deployment } from '../../shared/contracts/plan.ts'
import type { State } from '../../shared/platform/redis/state.ts'
import { eventually } from '../support/eventually.ts'
import { exampleResource } from '../support/fixtures.ts'
import { withFolder } from '../support/folder.ts'
import { gate } from '../support/gate.ts'
import { withTestRedis } from '../support/redis.ts'
import { crash, startServiceProcess } from '../support/service-process.ts'
import { type StartedService, startPlanner } from '../support/services.ts'
import { stubServer } from '../support/stub-server.ts'
import { type PlanShape, putExample } from './harness.ts'

/** A resource that keeps its loads waiting while it is held, and knows which deployments it has been told to hold. */
interface FakeResource {
  name: string
  url: string
  /** Ids with the plan that was prepared last. */
  holds: Map<string, Deployment>
  calls: string[]
  hold: () => () => void
  close: () => Promise<void>
}

async function fakeResource(name: string): Promise<FakeResource> {
  const loads = gate()
  const holds = new Map<string, Deployment>()
  const calls: string[] = []
  const { url, close } = await stubServer(async (req, res, body) => {
    const { pathname, searchParams } = new URL(req.url ?? '', 'http://here')
    const id = pathname.split('/').at(-1) ?? ''
    calls.push(`${req.method} ${id}`)
    if (req.method === 'PUT') {
      const told = Deployment.parse(JSON.parse(body.toString()))
      await loads.opened()
      holds.set(id, told)
    } else {
      const createdAt = searchParams.get('createdAt')
      if (createdAt === null || holds.get(id)?.createdAt === createdAt) holds.delete(id)
    }
    res.writeHead(200, { 'Content-Type': 'application/json' }).end('{"ready":true}')
  })
  return { name, url, holds, calls, hold: loads.close, close }
}

const redis = withTestRedis()
const folder = withFolder('two-planners')
let state: State
let planners: StartedService[]
let fakes: FakeResource[]

beforeEach(async () => {
  state = redis().state
  await state.redis.flushall()
  await putExample(state)
  fakes = await Promise.all(['device', 'edge', 'cloud'].map(fakeResource))
  for (const { name, url } of fakes) await state.resources.put(name, exampleResource(name, { url }))
  planners = await Promise.all([0, 1].map(() => startPlanner(redis().url)))
})
afterEach(async () => {
  for (const planner of planners) await planner.close()
  for (const fake of fakes) await fake.close()
})

const urlOf = (which: number) => planners[which]?.url ?? ''
async function deploy(
  which: number,
  name: string,
  plan: string,
): Promise<{ status: number; record: Deployment }> {
  const body = JSON.stringify({ name, plan })
  const answer = await fetch(`${urlOf(which)}/v1/deployments`, { method: 'POST', headers: JSON_TYPE, body })
  return { status: answer.status, record: (await answer.json()) as Deployment }
}
const remove = async (which: number, name: string) =>
  (await fetch(`${urlOf(which)}/v1/deployments/${name}`, { method: 'DELETE' })).status
async function plans(): Promise<string[]> {
  const answer = await fetch(`${urlOf(0)}/v1/plans?model=chain&source=device&top=50`)
  return ((await answer.json()) as { plans: PlanShape[] }).plans.map(({ id }) => id)
}
/** The best plan with the cloud and without the edge, and the other way round. */
async function cloudAndEdgePlans(): Promise<[string, string]> {
  const all = await plans()
  const bestOf = (tier: string, other: string) =>
    all.find((id) => id.includes(tier) && !id.includes(other)) ?? ''
  return [bestOf('cloud', 'edge'), bestOf('edge', 'cloud')]
}
const holding = (name: string) =>
  fakes.filter(({ holds }) => holds.has(name)).map((fake) => [fake.name, fake.holds.get(name)?.planId])
const isReady = (name: string) =>
  eventually(async () => expect(await state.deployments.get(name)).toMatchObject({ state: 'ready' }))
const fakeOf = (name: string) => fakes.find((fake) => fake.name === name)!

describe('two planners', () => {
  it('take up what a third one that died was loading', async () => {
    const [plan = ''] = await plans()
    const go = fakeOf('cloud').hold()
    const third = await startServiceProcess('planner', { REDIS_URL: redis().url, SCISSION_DATA: folder() })
    try {
      const body = JSON.stringify({ name: 'left', plan, verify: false })
      const begin = () => fetch(`${third.url}/v1/deployments`, { method: 'POST', headers: JSON_TYPE, body })
      await eventually(async () => expect((await begin()).status).toBe(202))
      await eventually(() => expect(fakeOf('cloud').calls).toContain('PUT left'))
    } finally {
      await crash(third)
      go()
    }
    expect(await state.deployments.get('left')).toMatchObject({ state: 'loading' })
    await isReady('left')
    await eventually(async () => expect(await state.redis.smembers('scission:loads-under-way')).toEqual([]))
  })

  it('let one of two plans have a name, and put the other one nowhere', async () => {
    const [first = '', second = ''] = await plans()
    for (let round = 0; round < 10; round += 1) {
      const name = `contested-${round}`
      const answers = await Promise.all([deploy(0, name, first), deploy(1, name, second)])
      expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([202, 409])
      const winner = answers.find(({ status }) => status === 202)?.record
      await eventually(async () =>
        expect(await state.deployments.get(name)).toMatchObject({ planId: winner?.planId, state: 'ready' }),
      )
      for (const [, planId] of holding(name)) expect(planId).toBe(winner?.planId)
    }
  })

  it('load one plan that both are asked for at once, and both find it ready', async () => {
    const [plan = ''] = await plans()
    const answers = await Promise.all([deploy(0, 'both', plan), deploy(1, 'both', plan)])
    expect(answers.map(({ status }) => status)).toEqual([202, 202])
    await isReady('both')
    expect(holding('both').length).toBeGreaterThan(0)
  })

  it('do not bring back what the other one deleted while it was loading', async () => {
    const [plan = ''] = await plans()
    const go = fakeOf('cloud').hold()
    expect((await deploy(0, 'gone', plan)).status).toBe(202)
    await eventually(() => expect(fakeOf('cloud').calls).toContain('PUT gone'))
    expect(await remove(1, 'gone')).toBe(204)
    go()
    await eventually(() =>
      expect(fakeOf('cloud').calls.filter((call) => call === 'DELETE gone')).toHaveLength(2),
    )
    await planners[0]?.close()
    expect(await state.deployments.get('gone')).toBeUndefined()
    expect(holding('gone')).toEqual([])
  })

  it('keep what was made anew under a name while its predecessor was still loading', async () => {
    const [first, second] = await cloudAndEdgePlans()
    const go = fakeOf('cloud').hold()
    await deploy(0, 'again', first)
    await eventually(() => expect(fakeOf('cloud').calls).toContain('PUT again'))
    expect(await remove(1, 'again')).toBe(204)
    expect((await deploy(1, 'again', second)).status).toBe(202)
    await isReady('again')
    go()
    await planners[0]?.close()
    expect(await state.deployments.get('again')).toMatchObject({ planId: second, state: 'ready' })
    // The device is on both paths: letting go of the first deployment leaves the second there.
    expect(holding('again')).toEqual([
      ['device', second],
      ['edge', second],
    ])
  })

  it('also when one planner does all of it', async () => {
    const [first, second] = await cloudAndEdgePlans()
    const go = fakeOf('cloud').hold()
    await deploy(0, 'alone', first)
    expect(await remove(0, 'alone')).toBe(204)
    await deploy(0, 'alone', second)
    await isReady('alone')
    go()
    await planners[0]?.close()
    expect(await state.deployments.get('alone')).toMatchObject({ planId: second, state: 'ready' })
    expect(holding('alone')).toEqual([
      ['device', second],
      ['edge', second],
    ])
  })

  it('delete a deployment once, whoever is asked', async () => {
    const [plan = ''] = await plans()
    await deploy(0, 'twice', plan)
    await isReady('twice')
    expect((await Promise.all([remove(0, 'twice'), remove(1, 'twice')])).sort()).toEqual([204, 404])
    await eventually(() => expect(holding('twice')).toEqual([]))
  })

  it('make no deployment of a model that is deleted in that moment', async () => {
    const [plan = ''] = await plans()
    const [model] = await state.models.all()
    await state.models.delete(model?.id ?? '')
    // The planners may not have seen it yet.
    const { status } = await deploy(0, 'orphan', plan)
    expect(status).toBe(404)
    expect(await state.deployments.all()).toEqual([])
  })
})
