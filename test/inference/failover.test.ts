/** Requests when a resource on the path fails: toys compute, everything else is the real service. */
import { beforeAll, describe, expect, it } from 'vitest'
import type { Deployment } from '../../shared/contracts/plan.ts'
import { until } from '../support/eventually.ts'
import { type Hop, hop } from '../support/fixtures.ts'
import { errorOf, parametersOf, postJson, valuesOf } from './support/service.ts'
import { infers, rightAnswer, startStranger as strangerIn } from './support/stranger.ts'
import { branchedModel, register, Y } from './support/toy-models.ts'
import { withToyServices } from './support/toy-services.ts'

const toy = branchedModel('a')

const services = withToyServices([toy])
const { start, stop, urlOf, engineOf, infer } = services
const startStranger = (name: string) => strangerIn(services.state, name)

/** Layers a and b on the device, y on the stranger. */
const ONTO_EDGE1 = [hop('device', 0, 2), hop('edge1', 2, 3)]
const deploy = (id: string, hops: Hop[], changes?: Partial<Deployment>) =>
  services.deploy(services.deploymentOf(id, hops, changes))

beforeAll(async () => {
  await start('device')
  await start('edge2', { SCISSION_TIER: 'edge' })
})

describe('when the next hop fails', () => {
  it('another resource of its tier takes it, and the answer says so', async () => {
    const edge = await startStranger('edge1')
    edge.answerWith = (res) => res.socket?.destroy()
    await deploy('stand-in', [hop('device', 0, 2), hop('edge1', 2, 3, { alternates: ['edge2'] })])
    const answer = await infer('stand-in')
    expect([answer.status, valuesOf(answer.json)]).toEqual([200, Y.data])
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
    await deploy('native', [hop('device', 0, 1), hop('edge1', 1, 2), hop('cloud', 2, 3)])
    await until(async () => engineOf('device').loaded().includes('branched:1-3'))
    const answer = await infer('native')
    expect([answer.status, valuesOf(answer.json)]).toEqual([200, Y.data])
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
    await deploy('slow', ONTO_EDGE1)
    const answer = await infer('slow', { parameters: { timeout: 4_000_000 } })
    expect([answer.status, valuesOf(answer.json)]).toEqual([200, Y.data])
    expect(edge.calls[0]?.timeoutUs).toBeLessThanOrEqual(2_000_000)
    await edge.close()
  })

  it('one that is full is passed over, and stays in use', async () => {
    const edge = await startStranger('edge1')
    edge.answerWith = (res) => res.writeHead(503).end('{"error":"queue full"}')
    await deploy('full', ONTO_EDGE1)
    for (let round = 0; round < 5; round += 1) expect((await infer('full')).status).toBe(200)
    expect(infers(edge)).toHaveLength(5)
    await edge.close()
  })

  it('an error names it and says what else was tried', async () => {
    const edge = await startStranger('edge1')
    edge.answerWith = (res) => res.socket?.destroy()
    const hops = [hop('device', 0, 2), hop('edge1', 2, 3, { alternates: ['nobody'] })]
    await deploy('no-fallback', hops, { fallback: 'none' })
    const answer = await infer('no-fallback')
    expect(answer.status).toBe(502)
    expect(errorOf(answer.json)).toMatch(/hop edge1 at .*; instead: resource nobody is not registered/)
    await edge.close()
  })

  it('a fallback that does not fit is not loaded, and the error says so', async () => {
    await start('small', { SCISSION_TIER: 'device', SCISSION_STAGE_BYTES: '0' })
    const heavy = structuredClone(toy.structure)
    for (const layer of heavy.layers) layer.weightBytes = 1000
    await services.state.structures.put(`${heavy.model}.${heavy.shapesKey}`, heavy)
    await deploy('too-big', [hop('small', 0, 2), hop('nobody', 2, 3)])
    const answer = await infer('too-big', {}, 'small')
    expect(answer.status).toBe(502)
    expect(errorOf(answer.json)).toMatch(/nobody is not registered.*do not fit here: 1000 bytes/)
    expect(engineOf('small').loaded()).toEqual(['branched:0-2'])
    await stop('small')
    await register(services.state, toy)
  })
})

describe('a peer that keeps failing', () => {
  it('is left alone after three failures, probed, and used again when it is back', async () => {
    const edge = await startStranger('edge1')
    edge.answerWith = (res) => res.socket?.destroy()
    await deploy('returning', ONTO_EDGE1)
    for (let round = 0; round < 20; round += 1) expect((await infer('returning')).status).toBe(200)
    // A call on a reused connection is sent once more on a new one.
    const before = infers(edge).length
    expect(before).toBeLessThanOrEqual(6)
    edge.answerWith = (res, path) => (path.endsWith('/infer') ? rightAnswer(res) : res.end())
    await until(async () => {
      const answer = await infer('returning')
      expect([answer.status, valuesOf(answer.json)]).toEqual([200, Y.data])
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
    await deploy('strict', ONTO_EDGE1, { fallback: 'none' })
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
    await deploy('anew', ONTO_EDGE1)
    for (let round = 0; round < 4; round += 1) await infer('anew')
    const record = await services.state.resources.need('edge1')
    // No probe finds it well: only that it registered anew brings requests to it.
    edge.answerWith = (res, path) => (path.endsWith('/load') ? res.socket?.destroy() : rightAnswer(res))
    edge.calls.length = 0
    const startedAt = new Date(Date.now() + 60_000).toISOString()
    await services.state.resources.put('edge1', { ...record, startedAt })
    await until(async () => {
      await infer('anew')
      return infers(edge).length > 0
    })
    await edge.close()
  })
})

describe('a request for a deployment that is being replaced', () => {
  it('runs on the plan that it names, and is a 404 for a plan that never was', async () => {
    const hops = (cut: number) => [hop('device', 0, cut), hop('edge2', cut, 3)]
    await deploy('replaced', hops(1), { planId: 'first' })
    await deploy('replaced', hops(2), { planId: 'second' })
    const toEdge = (plan: string) =>
      postJson(`${urlOf('edge2')}/v2/models/replaced/infer`, {
        parameters: { scission_hop: 1, scission_plan: plan },
        inputs: [{ name: 'a', shape: [2], datatype: 'FP32', data: [2, 4] }],
      })
    expect(valuesOf((await toEdge('first')).json)).toEqual(Y.data)
    expect((await toEdge('nobodys')).status).toBe(404)
    const otherBoundary = await toEdge('second')
    expect(otherBoundary.status).toBe(400)
    expect(errorOf(otherBoundary.json)).toContain('missing input tensor "b"')
  })
})
