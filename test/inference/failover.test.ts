/** Requests while a resource on the path fails: toys compute, everything else is the real service. */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Deployment } from '../../shared/contracts/plan.ts'
import { createLog } from '../../shared/platform/log.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import { exampleResource } from '../support/fixtures.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { call, postJson, startInference, type TestService } from './support/service.ts'
import { branchedModel, register, type ToyEngine, toyEngine } from './support/toy-models.ts'
import { until } from '../support/eventually.ts'

const toy = branchedModel('a')
const X = { name: 'x', shape: [2], datatype: 'FP32', data: [1, 2] }
const WHOLE = [6, 20]

let redis: TestRedis
let state: State
const services = new Map<string, TestService>()
const engines = new Map<string, ToyEngine>()

async function start(name: string, tier: string, env: Record<string, string> = {}): Promise<void> {
  const engine = toyEngine([toy])
  engines.set(name, engine)
  const settings = {
    SCISSION_RESOURCE: name,
    SCISSION_TIER: tier,
    SCISSION_LINK_INTERVAL_MS: '3600000',
    ...env,
  }
  services.set(name, await startInference(redis.url, settings, engine))
}
const stop = async (name: string) => {
  await services.get(name)?.stop()
  services.delete(name)
}
const urlOf = (name: string) => services.get(name)?.url ?? ''
const engineOf = (name: string) => engines.get(name) ?? toyEngine([])

/** A resource that is registered under a stand-in's address. */
interface Stranger {
  calls: { path: string; timeoutUs: number }[]
  answerWith: (res: http.ServerResponse, path: string) => unknown
  close: () => Promise<void>
}

async function startStranger(name: string): Promise<Stranger> {
  const stranger: Stranger = { calls: [], answerWith: (res) => res.end(), close: async () => undefined }
  const server = http.createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const path = req.url ?? ''
      const timeout = /"timeout":(\d+)/.exec(Buffer.concat(chunks).toString('latin1'))?.[1]
      stranger.calls.push({ path, timeoutUs: Number(timeout) })
      stranger.answerWith(res, path)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await state.resources.put(name, exampleResource('edge', { name, url }))
  stranger.close = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await state.resources.delete(name)
  }
  return stranger
}
const y = { name: 'y', shape: [2], datatype: 'FP32', data: WHOLE }
const rightAnswer = (res: http.ServerResponse) => res.end(JSON.stringify({ model_name: 'm', outputs: [y] }))
const infers = (stranger: Stranger) => stranger.calls.filter(({ path }) => path.endsWith('/infer'))

interface Hop {
  resource: string
  from: number
  to: number
  alternates?: string[]
}

async function deploy(id: string, hops: Hop[], changes: Partial<Deployment> = {}): Promise<void> {
  const deployment = Deployment.parse({
    id,
    planId: `plan-${id}`,
    model: toy.model.id,
    shapesKey: toy.structure.shapesKey,
    entry: { resource: 'device', url: urlOf('device') },
    hops,
    predictedMs: 1,
    emulated: false,
    state: 'ready',
    createdAt: new Date().toISOString(),
    ...changes,
  })
  await state.deployments.put(id, deployment)
  const answer = await call('PUT', `${urlOf('device')}/v1/deployments/${id}`, JSON.stringify(deployment))
  expect(answer.status).toBe(200)
}

const infer = (id: string, extra: object = {}) =>
  postJson(`${urlOf('device')}/v2/models/${id}/infer`, { inputs: [X], ...extra })
const values = (json: unknown) => (json as { outputs: { data: number[] }[] }).outputs[0]?.data
const parametersOf = (json: unknown) => (json as { parameters: Record<string, unknown> }).parameters
const errorOf = (json: unknown) => (json as { error: string }).error

beforeAll(async () => {
  redis = await startTestRedis()
  state = openState(producerConnection(redis.url, createLog('test', 'silent')))
  await until(async () => state.redis.status === 'ready')
  await register(state, toy)
  await start('device', 'device')
  await start('edge2', 'edge')
})
afterAll(async () => {
  await Promise.all([...services.keys()].map(stop))
  state?.redis.disconnect()
  await redis?.close()
})
beforeEach(() => {
  for (const engine of engines.values()) {
    engine.runMs = 0
    engine.runs.length = 0
    engine.failLoads.clear()
  }
})

describe('when the next hop fails', () => {
  it('another resource of its tier takes it, and the answer says so', async () => {
    const edge = await startStranger('edge1')
    edge.answerWith = (res) => res.socket?.destroy()
    await deploy('stand-in', [
      { resource: 'device', from: 0, to: 2 },
      { resource: 'edge1', from: 2, to: 3, alternates: ['edge2'] },
    ])
    const answer = await infer('stand-in')
    expect([answer.status, values(answer.json)]).toEqual([200, WHOLE])
    expect(parametersOf(answer.json)).toMatchObject({
      scission_hop1_resource: 'edge2',
      scission_hop1_insteadOf: 'edge1',
    })
    expect(engineOf('device').runs).toHaveLength(1)
    await edge.close()
  })

  it('the rest of the model runs here where no other resource may take it', async () => {
    const edge = await startStranger('edge1')
    edge.answerWith = (res) => res.socket?.destroy()
    await deploy('native', [
      { resource: 'device', from: 0, to: 1 },
      { resource: 'edge1', from: 1, to: 2 },
      { resource: 'cloud', from: 2, to: 3 },
    ])
    await until(async () => engineOf('device').loaded().includes('branched:1-3'))
    const answer = await infer('native')
    expect([answer.status, values(answer.json)]).toEqual([200, WHOLE])
    expect(parametersOf(answer.json)).toMatchObject({
      scission_hops: 2,
      scission_hop1_resource: 'device',
      scission_hop1_insteadOf: 'edge1',
      scission_hop1_layers: '1-3',
    })
    expect(engineOf('device').runs.map(({ range }) => range)).toEqual(['branched:0-1', 'branched:1-3'])
    await edge.close()
  })

  it('a slow one is left in time for the fallback to answer within the deadline', async () => {
    const edge = await startStranger('edge1')
    edge.answerWith = () => undefined
    await deploy('slow', [
      { resource: 'device', from: 0, to: 2 },
      { resource: 'edge1', from: 2, to: 3 },
    ])
    const answer = await infer('slow', { parameters: { timeout: 4_000_000 } })
    expect([answer.status, values(answer.json)]).toEqual([200, WHOLE])
    expect(edge.calls[0]?.timeoutUs).toBeLessThanOrEqual(2_000_000)
    await edge.close()
  })

  it('one that is full is passed over, and stays in use', async () => {
    const edge = await startStranger('edge1')
    edge.answerWith = (res) => res.writeHead(503).end('{"error":"queue full"}')
    await deploy('full', [
      { resource: 'device', from: 0, to: 2 },
      { resource: 'edge1', from: 2, to: 3 },
    ])
    for (let round = 0; round < 5; round += 1) expect((await infer('full')).status).toBe(200)
    expect(infers(edge)).toHaveLength(5)
    await edge.close()
  })

  it('an error names it and says what else was tried', async () => {
    const edge = await startStranger('edge1')
    edge.answerWith = (res) => res.socket?.destroy()
    const hops = [
      { resource: 'device', from: 0, to: 2 },
      { resource: 'edge1', from: 2, to: 3, alternates: ['nobody'] },
    ]
    await deploy('no-fallback', hops, { fallback: 'none' })
    const answer = await infer('no-fallback')
    expect(answer.status).toBe(502)
    expect(errorOf(answer.json)).toMatch(/hop edge1 at .*; instead: resource nobody is not registered/)
    await edge.close()
  })

  it('a fallback that does not fit is not loaded, and the error says so', async () => {
    await start('small', 'device', { SCISSION_STAGE_BYTES: '0' })
    const heavy = structuredClone(toy.structure)
    for (const layer of heavy.layers) layer.weightBytes = 1000
    await state.structures.put(`${heavy.model}.${heavy.shapesKey}`, heavy)
    const hops = [
      { resource: 'small', from: 0, to: 2 },
      { resource: 'nobody', from: 2, to: 3 },
    ]
    await deploy('too-big', [{ resource: 'device', from: 0, to: 0 }, ...hops])
    const record = await state.deployments.need('too-big')
    const own = { ...record, hops, entry: { resource: 'small', url: urlOf('small') } }
    await state.deployments.put('too-big', own)
    await call('PUT', `${urlOf('small')}/v1/deployments/too-big`, JSON.stringify(own))
    const answer = await postJson(`${urlOf('small')}/v2/models/too-big/infer`, { inputs: [X] })
    expect(answer.status).toBe(502)
    expect(errorOf(answer.json)).toMatch(/nobody is not registered.*do not fit here: 1000 bytes/)
    expect(engineOf('small').loaded()).toEqual(['branched:0-2'])
    await stop('small')
    await register(state, toy)
  })
})

describe('a peer that keeps failing', () => {
  it('is left alone after three failures, probed, and used again when it is back', async () => {
    const edge = await startStranger('edge1')
    edge.answerWith = (res) => res.socket?.destroy()
    await deploy('returning', [
      { resource: 'device', from: 0, to: 2 },
      { resource: 'edge1', from: 2, to: 3 },
    ])
    for (let round = 0; round < 20; round += 1) expect((await infer('returning')).status).toBe(200)
    // A call on a reused connection is sent once more on a new one.
    const before = infers(edge).length
    expect(before).toBeLessThanOrEqual(6)
    edge.answerWith = (res, path) => (path.endsWith('/infer') ? rightAnswer(res) : res.end())
    await until(async () => {
      const answer = await infer('returning')
      expect([answer.status, values(answer.json)]).toEqual([200, WHOLE])
      return infers(edge).length > before
    })
    expect(edge.calls.some(({ path }) => path === '/v2/repository/models/returning/load')).toBe(true)
    const used = infers(edge).length
    await infer('returning')
    expect(infers(edge)).toHaveLength(used + 1)
    await edge.close()
  })

  it('is not called by requests that have no other way, but by one now and then', async () => {
    const edge = await startStranger('edge1')
    edge.answerWith = (res) => res.socket?.destroy()
    const hops = [
      { resource: 'device', from: 0, to: 2 },
      { resource: 'edge1', from: 2, to: 3 },
    ]
    await deploy('strict', hops, { fallback: 'none' })
    let refused = 0
    await until(async () => {
      const answer = await infer('strict')
      expect(answer.status).toBe(502)
      if (/hop edge1 is left alone after several failures/.test(errorOf(answer.json))) refused += 1
      return refused >= 5
    })
    edge.answerWith = rightAnswer
    await until(async () => (await infer('strict')).status === 200)
    await edge.close()
  })

  it('gets every request again at once when it registers anew', async () => {
    const edge = await startStranger('edge1')
    edge.answerWith = (res) => res.socket?.destroy()
    await deploy('anew', [
      { resource: 'device', from: 0, to: 2 },
      { resource: 'edge1', from: 2, to: 3 },
    ])
    for (let round = 0; round < 4; round += 1) await infer('anew')
    const record = await state.resources.need('edge1')
    // No probe finds it well: only that it registered anew brings requests to it.
    edge.answerWith = (res, path) => (path.endsWith('/load') ? res.socket?.destroy() : rightAnswer(res))
    edge.calls.length = 0
    const startedAt = new Date(Date.now() + 60_000).toISOString()
    await state.resources.put('edge1', { ...record, startedAt })
    await until(async () => {
      await infer('anew')
      return infers(edge).length > 0
    })
    await edge.close()
  })
})

describe('a request for a deployment that is being replaced', () => {
  it('runs on the plan that it names, and is a 404 for a plan that never was', async () => {
    const hops = (cut: number) => [
      { resource: 'device', from: 0, to: cut },
      { resource: 'edge2', from: cut, to: 3 },
    ]
    const at = `${urlOf('edge2')}/v1/deployments/replaced`
    for (const [planId, cut] of [
      ['first', 1],
      ['second', 2],
    ] as const) {
      await deploy('replaced', hops(cut), { planId })
      const told = await call('PUT', at, JSON.stringify(await state.deployments.need('replaced')))
      expect(told.status).toBe(200)
    }
    const toEdge = (plan: string) =>
      postJson(`${urlOf('edge2')}/v2/models/replaced/infer`, {
        parameters: { scission_hop: 1, scission_plan: plan },
        inputs: [{ name: 'a', shape: [2], datatype: 'FP32', data: [2, 4] }],
      })
    expect(values((await toEdge('first')).json)).toEqual(WHOLE)
    expect((await toEdge('nobodys')).status).toBe(404)
    const otherBoundary = await toEdge('second')
    expect(otherBoundary.status).toBe(400)
    expect(errorOf(otherBoundary.json)).toContain('missing input tensor "b"')
  })
})
