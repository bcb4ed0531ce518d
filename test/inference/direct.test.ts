/** Answers that go from the last hop straight to the entry: toys compute, everything else is the real service. */
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
import { until } from '../support/eventually.ts'
import { branchedModel, register, type ToyEngine, toyEngine } from './support/toy-models.ts'

const toy = branchedModel('a')
const X = { name: 'x', shape: [2], datatype: 'FP32', data: [1, 2] }
const WHOLE = [6, 20]
const TIERS = ['device', 'edge', 'cloud']
const HOPS = [
  { resource: 'device', from: 0, to: 1 },
  { resource: 'edge', from: 1, to: 2 },
  { resource: 'cloud', from: 2, to: 3 },
]

let redis: TestRedis
let state: State
const services = new Map<string, TestService>()
const engines = new Map<string, ToyEngine>()
const urlOf = (name: string) => services.get(name)?.url ?? ''
const engineOf = (name: string) => engines.get(name) ?? toyEngine([])

/** A stand-in before a resource: it passes requests on, and does with them what a test wants. */
interface Gate {
  url: string
  seen: { method: string; path: string; bytes: number; answered: number }[]
  /** Decides before a request is passed on; false = its connection is cut. */
  before: (path: string, method: string) => boolean | Promise<boolean>
  /** Decides after the answer came. */
  after: (path: string, method: string) => boolean | Promise<boolean>
  close: () => void
}

async function startGate(target: () => string): Promise<Gate> {
  const gate: Gate = { url: '', seen: [], before: () => true, after: () => true, close: () => undefined }
  const server = http.createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => void pass(req, res, Buffer.concat(chunks)).catch(() => req.socket.destroy()))
  })
  const pass = async (req: http.IncomingMessage, res: http.ServerResponse, body: Buffer) => {
    const { url: path = '', method = '' } = req
    if (!(await gate.before(path, method))) return req.socket.destroy()
    const headers = Object.fromEntries(
      Object.entries(req.headers).flatMap(([name, value]) =>
        typeof value === 'string' && !['host', 'connection'].includes(name) ? [[name, value]] : [],
      ),
    )
    const leaving = new AbortController()
    res.once('close', () => leaving.abort())
    const answer = await passOn(method, `${target()}${path}`, body, headers, leaving.signal)
    gate.seen.push({ method, path, bytes: body.length, answered: answer.body.length })
    if (!(await gate.after(path, method))) return req.socket.destroy()
    for (const [name, value] of Object.entries(answer.headers)) if (value) res.setHeader(name, value)
    res.removeHeader('connection')
    res.removeHeader('transfer-encoding')
    res.statusCode = answer.status
    return res.end(answer.body)
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  gate.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  gate.close = () => {
    server.closeAllConnections()
    server.close()
  }
  return gate
}

function passOn(
  method: string,
  url: string,
  body: Buffer,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<{ status: number; headers: http.IncomingHttpHeaders; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers, agent: false, signal }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      )
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** The way that answers take from cloud to device. */
let back: Gate
/** The way from edge to cloud. */
let onward: Gate

async function start(name: string, routes: Record<string, { url: string }> = {}): Promise<void> {
  const engine = toyEngine([toy])
  engines.set(name, engine)
  const settings = {
    SCISSION_RESOURCE: name,
    SCISSION_TIER: name,
    SCISSION_HOP_TIMEOUT_MS: '20000',
    SCISSION_LINK_INTERVAL_MS: '3600000',
    SCISSION_ROUTES: JSON.stringify(routes),
  }
  services.set(name, await startInference(redis.url, settings, engine))
}

async function deploy(id: string, changes: Partial<Deployment> = {}): Promise<void> {
  const deployment = Deployment.parse({
    id,
    planId: `plan-${id}`,
    model: toy.model.id,
    shapesKey: toy.structure.shapesKey,
    entry: { resource: 'device', url: urlOf('device') },
    hops: HOPS,
    fallback: 'native',
    answer: 'direct',
    predictedMs: 1,
    emulated: false,
    state: 'ready',
    createdAt: new Date().toISOString(),
    ...changes,
  })
  await state.deployments.put(id, deployment)
  for (const name of TIERS) {
    const answer = await call('PUT', `${urlOf(name)}/v1/deployments/${id}`, JSON.stringify(deployment))
    expect([name, answer.status]).toEqual([name, 200])
  }
}

const infer = (id: string, extra: object = {}) =>
  postJson(`${urlOf('device')}/v2/models/${id}/infer`, { inputs: [X], ...extra })
const values = (json: unknown) => (json as { outputs: { data: number[] }[] }).outputs[0]?.data
const parametersOf = (json: unknown) => (json as { parameters: Record<string, unknown> }).parameters
const deliveries = () => back.seen.filter(({ method }) => method === 'POST')
const runsOf = (name: string) => engineOf(name).runs.length

beforeAll(async () => {
  redis = await startTestRedis()
  state = openState(producerConnection(redis.url, createLog('test', 'silent')))
  await until(async () => state.redis.status === 'ready')
  await register(state, toy)
  back = await startGate(() => urlOf('device'))
  onward = await startGate(() => urlOf('cloud'))
  await start('device')
  await start('edge', { cloud: { url: onward.url } })
  await start('cloud', { device: { url: back.url } })
  await deploy('direct')
})
afterAll(async () => {
  await Promise.all([...services.values()].map((service) => service.stop()))
  back?.close()
  onward?.close()
  state?.redis.disconnect()
  await redis?.close()
})
beforeEach(() => {
  for (const engine of engines.values()) {
    engine.runMs = 0
    engine.runs.length = 0
  }
  for (const gate of [back, onward]) {
    gate.seen.length = 0
    gate.before = () => true
    gate.after = () => true
  }
})

describe('a direct answer', () => {
  it('goes past the hops between, and tells what each of them did', async () => {
    const answer = await infer('direct', { id: 'r1' })
    expect(answer.status).toBe(200)
    expect(values(answer.json)).toEqual(WHOLE)
    expect(answer.json).toMatchObject({ model_name: 'direct', id: 'r1' })
    expect(parametersOf(answer.json)).toMatchObject({
      scission_hops: 3,
      scission_hop0_resource: 'device',
      scission_hop0_nextMs: expect.any(Number),
      scission_hop0_wireBytes: 8,
      scission_hop1_resource: 'edge',
      scission_hop1_computeMs: 1,
      scission_hop1_wireBytes: 16,
      scission_hop2_resource: 'cloud',
      scission_hop2_layers: '2-3',
      scission_hop2_computeMs: 1,
    })
    expect(parametersOf(answer.json)).not.toHaveProperty('scission_slot')
    expect(deliveries()).toHaveLength(1)
    // Only the word that it was delivered passes the hop between.
    await until(async () => onward.seen.some(({ path }) => path.endsWith('/infer')))
    expect(TIERS.map(runsOf)).toEqual([1, 1, 1])
  })

  it('gives the outputs that were asked for', async () => {
    const answer = await infer('direct', { outputs: [{ name: 'y', parameters: { binary_data: true } }] })
    expect([answer.status, answer.headers['inference-header-content-length']]).toEqual([
      200,
      expect.any(String),
    ])
    expect(answer.body.subarray(-8)).toEqual(Buffer.from(Float32Array.from(WHOLE).buffer))
    expect((await infer('direct', { outputs: [{ name: 'b' }] })).status).toBe(400)
  })

  it('is not used where the deployment does not say so, whatever a client says', async () => {
    await deploy('chained', { answer: 'chain' })
    const answer = await infer('chained', { parameters: { scission_slot: 'ab'.repeat(16) } })
    expect(values(answer.json)).toEqual(WHOLE)
    expect(deliveries()).toHaveLength(0)
  })

  it('is right for many requests at once, each its own', async () => {
    const rows = Array.from({ length: 40 }, (_, index) => [index, -index])
    const answers = await Promise.all(rows.map((data) => infer('direct', { inputs: [{ ...X, data }] })))
    const expected = rows.map((row) => row.map((x) => 2 * x * (2 * x + 1)))
    expect(answers.map(({ json }) => values(json)?.map((value) => value + 0))).toEqual(
      expected.map((row) => row.map((value) => value + 0)),
    )
  })

  it('comes through the chain when the way back is cut, and nothing is computed twice', async () => {
    back.before = (path) => !path.startsWith('/v1/answers')
    const answers = await Promise.all(Array.from({ length: 5 }, () => infer('direct')))
    for (const { json } of answers) expect(values(json)).toEqual(WHOLE)
    expect(TIERS.map(runsOf)).toEqual([5, 5, 5])
    // The way is tried again before long.
    back.before = () => true
    await until(async () => {
      expect(values((await infer('direct')).json)).toEqual(WHOLE)
      return deliveries().length > 0
    })
  })

  it('is the one that counts when the way back breaks after it was taken', async () => {
    back.after = (_path, method) => method !== 'POST'
    const answer = await infer('direct')
    expect(values(answer.json)).toEqual(WHOLE)
    await until(async () => onward.seen.length > 0)
    expect(TIERS.map(runsOf)).toEqual([1, 1, 1])
  })

  it('is not computed again when the last hop is lost just after it delivered', async () => {
    // The answer is at the entry before the middle hears that the last hop is gone.
    onward.after = (path) => !path.endsWith('/infer')
    const answer = await infer('direct')
    expect(values(answer.json)).toEqual(WHOLE)
    await until(async () => back.seen.length > 0 && onward.seen.length > 0)
    const asked = engineOf('edge').runs.length
    // Another request is answered meanwhile: had the middle begun anew, it would have run by then.
    onward.after = () => true
    await infer('direct')
    expect([asked, ...TIERS.map(runsOf)]).toEqual([1, 2, 2, 2])
  })

  it('is computed in the middle when the last hop is lost before', async () => {
    onward.before = (path) => !path.endsWith('/infer')
    const answer = await infer('direct')
    expect(values(answer.json)).toEqual(WHOLE)
    expect(parametersOf(answer.json)).toMatchObject({
      scission_hop2_resource: 'edge',
      scission_hop2_insteadOf: 'cloud',
    })
    expect(TIERS.map(runsOf)).toEqual([1, 2, 0])
    expect(deliveries()).toHaveLength(0)
  })

  it('that cannot be had is an error that names the hop', async () => {
    await deploy('strict', { fallback: 'none' })
    onward.before = (path) => !path.endsWith('/infer')
    const answer = await infer('strict')
    expect(answer.status).toBe(502)
    expect((answer.json as { error: string }).error).toContain('hop cloud')
  })

  it('in time or not at all: the error names the hop that was waited for', async () => {
    engineOf('cloud').runMs = 60_000
    await deploy('slow', { fallback: 'none' })
    const answer = await infer('slow', { parameters: { timeout: 400_000 } })
    expect(answer.status).toBe(504)
    expect((answer.json as { error: string }).error).toMatch(/edge|cloud/)
    await until(async () => engineOf('cloud').runs.every((run) => run.aborted))
  })

  it('stops being worked for when the client leaves', async () => {
    engineOf('cloud').runMs = 60_000
    const request = http.request(`${urlOf('device')}/v2/models/direct/infer`, { method: 'POST' })
    request.on('error', () => undefined)
    request.end(JSON.stringify({ inputs: [X] }))
    await until(async () => runsOf('cloud') === 1)
    request.destroy()
    await until(async () => engineOf('cloud').runs.every((run) => run.aborted))
    expect(deliveries()).toHaveLength(0)
    expect(TIERS.map(runsOf)).toEqual([1, 1, 1])
  })

  it('may come from a resource that stands in', async () => {
    await deploy('stand-in', {
      hops: [...HOPS.slice(0, 2), { resource: 'gone', from: 2, to: 3, alternates: ['cloud'] }],
    })
    await state.resources.put('gone', exampleResource('cloud', { name: 'gone', url: 'http://127.0.0.1:9' }))
    const answer = await infer('stand-in')
    expect(values(answer.json)).toEqual(WHOLE)
    expect(parametersOf(answer.json)).toMatchObject({
      scission_hop2_resource: 'cloud',
      scission_hop2_insteadOf: 'gone',
    })
    expect(deliveries()).toHaveLength(1)
  })

  it('is taken once, and only by a slot that somebody waits at', async () => {
    const nobody = `${urlOf('device')}/v1/answers/${'0'.repeat(32)}`
    expect((await call('POST', nobody, '{}')).json).toEqual({ wanted: false })
    expect((await call('GET', nobody)).json).toEqual({ wanted: false })
    const slots: string[] = []
    const wanted: unknown[] = []
    back.before = async (path) => {
      slots.push(path)
      wanted.push((await call('GET', `${urlOf('device')}${path}`)).json)
      return true
    }
    await infer('direct')
    expect(slots).toEqual([expect.stringMatching(/^\/v1\/answers\/[0-9a-f]{32}$/)])
    expect(wanted).toEqual([{ wanted: true }])
    const again = await call('POST', `${urlOf('device')}${slots[0]}`, '{"model_name":"m","outputs":[]}')
    expect([again.status, again.json]).toEqual([200, { wanted: false }])
  })

  it('that is none is refused, and the request goes on through the chain', async () => {
    back.before = async (path) => {
      const broken = await call('POST', `${urlOf('device')}${path}`, '{"model_name":"m","outputs":7}')
      expect(broken.status).toBe(400)
      return true
    }
    expect(values((await infer('direct')).json)).toEqual(WHOLE)
    expect(deliveries()).toHaveLength(1)
  })
})
