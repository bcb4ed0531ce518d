/** A deployment that stand-ins compute request after request says so, and takes it back: toys compute, all else is real. */
import type http from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { StandIns } from '../../services/inference/forwarding/stand-ins.ts'
import { standInId } from '../../shared/platform/redis/state.ts'
import { DeploymentView } from '../../shared/contracts/stand-in.ts'
import { readEvents } from '../support/event-source.ts'
import { eventually } from '../support/eventually.ts'
import { exampleDeployment, exampleResource, hop } from '../support/fixtures.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { withTestRedis } from '../support/redis.ts'
import { type StartedPlanner, startPlanner } from '../support/services.ts'
import { stubServer } from '../support/stub-server.ts'
import { branchedModel, Y } from './support/toy-models.ts'
import { withToyServices } from './support/toy-services.ts'

const toy = branchedModel('a')
const services = withToyServices([toy])
const HOPS = [hop('device', 0, 2), hop('edge1', 2, 3)]
const IN_A_ROW = 5

let planner: StartedPlanner
let stopEdge: () => Promise<void>
const refuse = (res: http.ServerResponse) => res.writeHead(413).end('{"error":"the body is too long"}')
const answer = (res: http.ServerResponse) => res.end(JSON.stringify({ model_name: 'm', outputs: [Y] }))
let answerWith: (res: http.ServerResponse) => unknown = answer

beforeAll(async () => {
  await services.start('device')
  const { url, close } = await stubServer((_req, res) => answerWith(res))
  stopEdge = close
  await services.state.resources.put('edge1', exampleResource('edge', { name: 'edge1', url }))
  planner = await startPlanner(services.redisUrl)
})
afterAll(async () => {
  await planner?.close()
  await stopEdge?.()
})

const infer = async (id: string, times: number) => {
  for (let at = 0; at < times; at += 1) expect((await services.infer(id)).status).toBe(200)
}
const shown = async (id: string): Promise<DeploymentView> =>
  DeploymentView.parse(await (await fetch(`${planner.url}/v1/deployments/${id}`)).json())
const metrics = async () => (await fetch(`${services.urlOf('device')}/metrics`)).text()

describe('a deployment of which every request is computed by a stand-in', () => {
  it('is degraded, with the reason, since when and how many, until its resource computes again', async () => {
    answerWith = refuse
    await services.deploy(services.deploymentOf('long', HOPS, { state: 'ready' }))
    const source = readEvents(`${planner.url}/v1/deployments/long/events`, ['ready', 'degraded', 'deleted'])
    const names = () => source.events.map(({ name }) => name)
    await eventually(() => expect(names()).toEqual(['ready']))
    const before = new Date().toISOString()
    await infer('long', IN_A_ROW - 1)
    expect((await shown('long')).state).toBe('ready')
    await infer('long', 1)
    await eventually(async () => expect((await shown('long')).state).toBe('degraded'))
    const { standIns } = await shown('long')
    expect(standIns).toEqual([
      expect.objectContaining({
        hop: 1,
        resource: 'edge1',
        by: 'device',
        reportedBy: 'device',
        reason: expect.stringMatching(/edge1 answered 413: the body is too long/),
        requests: { standIn: IN_A_ROW, of: IN_A_ROW },
      }),
    ])
    // By the clock of Redis, which a service knows to some milliseconds.
    expect(Date.parse(standIns![0]!.since)).toBeGreaterThan(Date.parse(before) - 1000)
    await eventually(() => expect(names()).toEqual(['ready', 'degraded']))
    expect(source.events.at(-1)?.data).toMatchObject({ state: 'degraded', standIns })
    const list = (await (await fetch(`${planner.url}/v1/deployments`)).json()) as {
      items: { state: string }[]
    }
    expect(list.items.map(({ state }) => state)).toEqual(['degraded'])
    expect(await metrics()).toMatch(/scission_stand_in_requests_total\{deployment="long"\} 5/)
    expect(await metrics()).toMatch(/scission_deployment_degraded\{deployment="long"\} 1/)
    answerWith = answer
    await infer('long', 1)
    await eventually(async () => expect((await shown('long')).state).toBe('ready'))
    await eventually(() => expect(names()).toEqual(['ready', 'degraded', 'ready']))
    expect(await metrics()).toMatch(/scission_deployment_degraded\{deployment="long"\} 0/)
    expect(await services.state.standIns.all()).toEqual([])
    await fetch(`${planner.url}/v1/deployments/long`, { method: 'DELETE' })
    await source.stopped()
  })

  it('that is deleted leaves no word of it to the next of its name', async () => {
    answerWith = refuse
    await services.deploy(services.deploymentOf('again', HOPS, { state: 'ready' }))
    await infer('again', IN_A_ROW)
    await eventually(async () => expect((await shown('again')).state).toBe('degraded'))
    const [told] = await services.state.standIns.all()
    await fetch(`${planner.url}/v1/deployments/again`, { method: 'DELETE' })
    expect(await services.state.standIns.all()).toEqual([])
    const createdAt = new Date(Date.now() + 1000).toISOString()
    await services.deploy(services.deploymentOf('again', HOPS, { state: 'ready', createdAt }))
    // Told late, of the deployment before.
    await services.state.standIns.put('again 1', told!)
    expect((await shown('again')).state).toBe('ready')
  })

  it('is degraded also if it was deployed again with the same plan', async () => {
    answerWith = answer
    await services.deploy(services.deploymentOf('twice', HOPS, { state: 'ready' }))
    await infer('twice', 1)
    const createdAt = new Date(Date.now() + 1000).toISOString()
    await services.deploy(services.deploymentOf('twice', HOPS, { state: 'ready', createdAt }))
    answerWith = refuse
    await infer('twice', IN_A_ROW)
    await eventually(async () => expect((await shown('twice')).state).toBe('degraded'))
  })

  it('is not said to be any more once the resource has gone that said so', async () => {
    const at = new Date().toISOString()
    await services.deploy(services.deploymentOf('left', HOPS, { state: 'ready' }))
    const { createdAt } = await services.state.deployments.need('left')
    const report = {
      deployment: 'left',
      createdAt,
      hop: 1,
      resource: 'edge1',
      by: 'device',
      reason: 'for a reason',
      since: at,
      requests: { standIn: 9, of: 9 },
      at,
    }
    await services.state.standIns.put('left 1', { ...report, reportedBy: 'nobody' })
    expect((await shown('left')).state).toBe('ready')
    await services.state.standIns.put('left 1', { ...report, reportedBy: 'device' })
    expect((await shown('left')).state).toBe('degraded')
    // By an earlier start of it.
    await services.state.standIns.put('left 1', {
      ...report,
      reportedBy: 'device',
      at: new Date(0).toISOString(),
    })
    expect((await shown('left')).state).toBe('ready')
  })
})

describe('the log and the record', () => {
  const redis = withTestRedis()
  const planned = { hops: [{ resource: 'edge1' }], outputs: [] } as never
  const stoodIn = {
    hops: [{ resource: 'device', insteadOf: 'edge1' }],
    standInReason: 'why',
    outputs: [],
  } as never

  it('are not written under a name that another service has', async () => {
    const { state } = redis()
    let isOwner = false
    const { log } = recordedLog()
    const standIns = new StandIns({ resource: 'device', state, log, isOwner: () => isOwner })
    const deployment = exampleDeployment('handed-on', HOPS)
    for (let at = 0; at < 30; at += 1) standIns.answered(deployment, 1, stoodIn)
    await state.redis.ping()
    expect(await state.standIns.all()).toEqual([])
    isOwner = true
    standIns.answered(deployment, 1, stoodIn)
    await eventually(async () => expect(await state.standIns.all()).toHaveLength(1))
    await state.standIns.delete(standInId('handed-on', 1))
  })

  it('are written once when it begins and once when it ends, and every ten seconds between', async () => {
    const { log, lines } = recordedLog()
    let now = Date.now()
    const { state } = redis()
    const standIns = new StandIns({ resource: 'device', state, log, now: () => now })
    const deployment = exampleDeployment('live', HOPS)
    const of = async () => (await state.standIns.all()).map(({ requests }) => requests.of)
    for (let at = 0; at < 30; at += 1) standIns.answered(deployment, 1, stoodIn)
    await eventually(async () => expect(await of()).toEqual([IN_A_ROW]))
    expect(lines).toHaveLength(1)
    now += 10_000
    standIns.answered(deployment, 1, stoodIn)
    await eventually(async () => expect(await of()).toEqual([31]))
    standIns.answered(deployment, 1, planned)
    await eventually(async () => expect(await of()).toEqual([]))
    standIns.answered(deployment, 1, planned)
    expect(lines).toHaveLength(2)
    standIns.answered({ ...deployment, verifies: 'live' }, 1, stoodIn)
    expect(standIns.stats(['live'])).toEqual([{ deployment: 'live', count: 31, degraded: false }])
  })
})
