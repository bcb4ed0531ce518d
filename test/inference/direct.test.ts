/** Answers that go from the last hop straight to the entry: toys compute, everything else is the real service. */
import http from 'node:http'
import { beforeAll, afterAll, beforeEach, describe, expect, it } from 'vitest'
import type { Deployment } from '../../shared/contracts/plan.ts'
import { until } from '../support/eventually.ts'
import { exampleResource, hop } from '../support/fixtures.ts'
import { stubServer } from '../support/stub-server.ts'
import { call, errorOf, parametersOf, valuesOf } from './support/service.ts'
import { branchedModel, X, Y } from './support/toy-models.ts'
import { withToyServices } from './support/toy-services.ts'

const toy = branchedModel('a')
const TIERS = ['device', 'edge', 'cloud']
const HOPS = [hop('device', 0, 1), hop('edge', 1, 2), hop('cloud', 2, 3)]

const services = withToyServices([toy])
const { urlOf, engineOf, infer } = services

/** A stand-in before a resource: it passes requests on, and does with them what a test wants. */
interface Relay {
  url: string
  seen: { method: string; path: string; bytes: number; answered: number }[]
  /** Decides before a request is passed on; false = its connection is cut. */
  before: (path: string, method: string) => boolean | Promise<boolean>
  /** Decides after the answer came. */
  after: (path: string, method: string) => boolean | Promise<boolean>
  close: () => Promise<void>
}

async function startRelay(target: () => string): Promise<Relay> {
  const relay: Relay = {
    url: '',
    seen: [],
    before: () => true,
    after: () => true,
    close: async () => undefined,
  }
  const pass = async (req: http.IncomingMessage, res: http.ServerResponse, body: Buffer) => {
    const { url: path = '', method = '' } = req
    if (!(await relay.before(path, method))) return req.socket.destroy()
    const headers = Object.fromEntries(
      Object.entries(req.headers).flatMap(([name, value]) =>
        typeof value === 'string' && !['host', 'connection'].includes(name) ? [[name, value]] : [],
      ),
    )
    const leaving = new AbortController()
    res.once('close', () => leaving.abort())
    const answer = await call(method, `${target()}${path}`, body, headers, leaving.signal)
    relay.seen.push({ method, path, bytes: body.length, answered: answer.body.length })
    if (!(await relay.after(path, method))) return req.socket.destroy()
    for (const [name, value] of Object.entries(answer.headers)) if (value) res.setHeader(name, value)
    res.removeHeader('connection')
    res.removeHeader('transfer-encoding')
    res.statusCode = answer.status
    return res.end(answer.body)
  }
  const server = await stubServer((req, res, body) => pass(req, res, body).catch(() => req.socket.destroy()))
  return Object.assign(relay, { url: server.url, close: server.close })
}

/** Between cloud and device: direct answers pass it. */
let back: Relay
/** Between edge and cloud. */
let onward: Relay

const start = (name: string, routes: Record<string, { url: string }> = {}) =>
  services.start(name, {
    SCISSION_HOP_TIMEOUT_MS: '20000',
    SCISSION_ROUTES: JSON.stringify(routes),
    // Shorter than any answer: what a deployment's plan sends arrives all the same.
    SCISSION_MAX_BODY_BYTES: '100',
  })
const deploy = (id: string, { hops = HOPS, ...changes }: Partial<Deployment> = {}) =>
  services.deploy(services.deploymentOf(id, hops, { fallback: 'native', answer: 'direct', ...changes }))
const deliveries = () => back.seen.filter(({ method }) => method === 'POST')
const runsOf = (name: string) => engineOf(name).runs.length

beforeAll(async () => {
  back = await startRelay(() => urlOf('device'))
  onward = await startRelay(() => urlOf('cloud'))
  await start('device')
  await start('edge', { cloud: { url: onward.url } })
  await start('cloud', { device: { url: back.url } })
  await deploy('direct')
})
afterAll(async () => {
  await back?.close()
  await onward?.close()
})
beforeEach(async () => {
  for (const relay of [back, onward]) {
    relay.before = () => true
    relay.after = () => true
  }
  // A way that the test before cut is not tried again at once.
  await until(async () => {
    for (const relay of [back, onward]) relay.seen.length = 0
    await infer('direct')
    return deliveries().length > 0
  })
  // The word that it was delivered may still be on its way.
  await until(async () => onward.seen.length > 0)
  for (const relay of [back, onward]) relay.seen.length = 0
  for (const name of TIERS) engineOf(name).runs.length = 0
})

describe('a direct answer', () => {
  it('goes past the hops between, and tells what each of them did', async () => {
    const answer = await infer('direct', { id: 'r1' })
    expect(answer.status).toBe(200)
    expect(valuesOf(answer.json)).toEqual(Y.data)
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
    expect(answer.body.subarray(-8)).toEqual(Buffer.from(Float32Array.from(Y.data).buffer))
    expect((await infer('direct', { outputs: [{ name: 'b' }] })).status).toBe(400)
  })

  it('is not used where the deployment does not say so, whatever a client says', async () => {
    await deploy('chained', { answer: 'chain' })
    const answer = await infer('chained', { parameters: { scission_slot: 'ab'.repeat(16) } })
    expect(valuesOf(answer.json)).toEqual(Y.data)
    expect(deliveries()).toHaveLength(0)
  })

  it('is right for many requests at once, each its own', async () => {
    const rows = Array.from({ length: 40 }, (_, index) => [index, -index])
    const answers = await Promise.all(rows.map((data) => infer('direct', { inputs: [{ ...X, data }] })))
    const expected = rows.map((row) => row.map((x) => 2 * x * (2 * x + 1)))
    expect(answers.map(({ json }) => valuesOf(json)?.map((value) => value + 0))).toEqual(
      expected.map((row) => row.map((value) => value + 0)),
    )
  })

  it('comes through the chain when the way back is cut, and nothing is computed twice', async () => {
    back.before = (path) => !path.startsWith('/v1/answers')
    const answers = await Promise.all(Array.from({ length: 5 }, () => infer('direct')))
    for (const { json } of answers) expect(valuesOf(json)).toEqual(Y.data)
    expect(TIERS.map(runsOf)).toEqual([5, 5, 5])
    // The way is tried again before long.
    back.before = () => true
    await until(async () => {
      expect(valuesOf((await infer('direct')).json)).toEqual(Y.data)
      return deliveries().length > 0
    })
  })

  it('is the one that counts when the way back breaks after it was taken', async () => {
    back.after = (_path, method) => method !== 'POST'
    const answer = await infer('direct')
    expect(valuesOf(answer.json)).toEqual(Y.data)
    await until(async () => onward.seen.length > 0)
    expect(TIERS.map(runsOf)).toEqual([1, 1, 1])
  })

  it('is not computed in the middle when the last hop is lost just after it delivered', async () => {
    // The answer is at the entry before the middle hears that the last hop is gone.
    onward.after = (path) => !path.endsWith('/infer')
    const answer = await infer('direct')
    expect(valuesOf(answer.json)).toEqual(Y.data)
    await until(async () => back.seen.length > 0 && onward.seen.length > 0)
    const asked = engineOf('edge').runs.length
    // Another request is answered meanwhile: had the middle begun anew, it would have run by then.
    onward.after = () => true
    await infer('direct')
    expect([asked, runsOf('device'), runsOf('edge')]).toEqual([1, 2, 2])
    // A connection that is cut before the last hop knows that its delivery arrived is used once more by the middle.
    expect(runsOf('cloud')).toBeLessThanOrEqual(
      onward.seen.filter(({ path }) => path.endsWith('/infer')).length,
    )
  })

  it('is computed in the middle when the last hop is lost before', async () => {
    onward.before = (path) => !path.endsWith('/infer')
    const answer = await infer('direct')
    expect(valuesOf(answer.json)).toEqual(Y.data)
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
    expect(errorOf(answer.json)).toContain('hop cloud')
  })

  it('in time or not at all: the error names the hop that was waited for', async () => {
    engineOf('cloud').runMs = 60_000
    await deploy('slow', { fallback: 'none' })
    const answer = await infer('slow', { parameters: { timeout: 400_000 } })
    expect(answer.status).toBe(504)
    expect(errorOf(answer.json)).toMatch(/edge|cloud/)
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
      hops: [...HOPS.slice(0, 2), hop('gone', 2, 3, { alternates: ['cloud'] })],
    })
    await services.state.resources.put(
      'gone',
      exampleResource('cloud', { name: 'gone', url: 'http://127.0.0.1:9' }),
    )
    const answer = await infer('stand-in')
    expect(valuesOf(answer.json)).toEqual(Y.data)
    expect(parametersOf(answer.json)).toMatchObject({
      scission_hop2_resource: 'cloud',
      scission_hop2_insteadOf: 'gone',
    })
    expect(deliveries()).toHaveLength(1)
  })

  it('is taken once, and only by a slot that somebody waits at', async () => {
    const nobody = `${urlOf('device')}/v1/answers/${'0'.repeat(32)}`
    expect((await call('POST', nobody, '{}')).json).toEqual({ wanted: false, resource: 'device' })
    expect((await call('GET', nobody)).json).toEqual({ wanted: false, resource: 'device' })
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
    expect([again.status, again.json]).toEqual([200, { wanted: false, resource: 'device' }])
  })

  it('that is none is refused, and the request goes on through the chain', async () => {
    back.before = async (path) => {
      const broken = await call('POST', `${urlOf('device')}${path}`, '{"model_name":"m","outputs":7}')
      expect(broken.status).toBe(400)
      return true
    }
    expect(valuesOf((await infer('direct')).json)).toEqual(Y.data)
    expect(deliveries()).toHaveLength(1)
  })
})
