import type http from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../support/eventually.ts'
import { exampleResource, type Hop, hop } from '../support/fixtures.ts'
import { type StubServer, stubServer } from '../support/stub-server.ts'
import {
  call,
  errorOf,
  parametersOf,
  postBinary,
  postJson,
  splitAnswer,
  valuesOf,
} from './support/service.ts'
import { branchedModel, fp32Tensor, X, Y } from './support/toy-models.ts'
import { withToyServices } from './support/toy-services.ts'
import { JSON_TYPE } from '../support/json-type.ts'

const toy = branchedModel('a')
const TIERS = ['device', 'edge', 'cloud']
/** Longer than any test: a run that only its end can stop. */
const ENDLESS_MS = 3_600_000

const services = withToyServices([toy])
const { start, stop, urlOf, engineOf, infer } = services

/** Layers a and b on the one, y on the other. */
const twoHops = (first: string, second: string): Hop[] => [hop(first, 0, 2), hop(second, 2, 3)]
const deploymentOf = (id: string, hops: Hop[]) => services.deploymentOf(id, hops, { fallback: 'none' })
const deploy = (id: string, hops: Hop[]) => services.deploy(deploymentOf(id, hops))

beforeAll(async () => {
  for (const tier of TIERS) await start(tier)
})

describe('a deployment', () => {
  it('runs the whole model over its path, and tells what each resource did', async () => {
    await deploy('three', [hop('device', 0, 1), hop('edge', 1, 2), hop('cloud', 2, 3)])
    const answer = await infer('three', { id: 'r1' })
    expect(answer.status).toBe(200)
    expect(valuesOf(answer.json)).toEqual(Y.data)
    expect(answer.json).toMatchObject({ model_name: 'three', id: 'r1' })
    expect(
      engineOf('cloud')
        .runs[0]?.inputs.map((tensor) => tensor.name)
        .sort(),
    ).toEqual(['a', 'b'])
    expect(parametersOf(answer.json)).toMatchObject({
      scission_hops: 3,
      scission_hop0_resource: 'device',
      scission_hop0_layers: '0-1',
      scission_hop0_bytesOut: 8,
      scission_hop0_nextMs: expect.any(Number),
      scission_hop1_resource: 'edge',
      scission_hop1_bytesOut: 16,
      scission_hop2_resource: 'cloud',
      scission_hop2_computeMs: 1,
      scission_totalMs: expect.any(Number),
      scission_emulated: false,
    })
    expect(parametersOf(answer.json)).not.toHaveProperty('scission_hop2_nextMs')
  })

  it('takes and gives binary tensors, and the outputs asked for', async () => {
    const inputs = [{ name: 'x', shape: [2], datatype: 'FP32', parameters: { binary_data_size: 8 } }]
    const outputs = [{ name: 'y', parameters: { binary_data: true } }]
    const tensor = fp32Tensor('x', [1, 2]).bytes
    const answer = await postBinary(`${urlOf('device')}/v2/models/three/infer`, { inputs, outputs }, tensor)
    expect(splitAnswer(answer).tensors).toEqual(Buffer.from(fp32Tensor('y', Y.data).bytes))
    expect((await infer('three', { outputs: [{ name: 'b' }] })).status).toBe(400)
  })

  it('runs the first stage of the next request during the second stage of this one', async () => {
    await deploy('pipelined', twoHops('device', 'cloud'))
    const release = engineOf('cloud').hold()
    let answered = 0
    const first = infer('pipelined').finally(() => (answered += 1))
    await until(async () => engineOf('cloud').runs.length === 1)
    const second = infer('pipelined').finally(() => (answered += 1))
    await until(async () => engineOf('device').runs.length === 2)
    expect(answered).toBe(0)
    release()
    expect(valuesOf((await first).json)).toEqual(Y.data)
    expect(valuesOf((await second).json)).toEqual(Y.data)
  })

  it('may run nothing at its entry', async () => {
    await deploy('native-cloud', [hop('device', 0, 0), hop('cloud', 0, 3)])
    expect(valuesOf((await infer('native-cloud')).json)).toEqual(Y.data)
  })

  it('is listed, described and ready at its entry', async () => {
    const at = `${urlOf('device')}/v2/models/three`
    expect((await call('GET', at)).json).toMatchObject({
      name: 'three',
      inputs: [{ name: 'x' }],
      outputs: [{ name: 'y' }],
      properties: { path: 'device:0-1 edge:1-2 cloud:2-3' },
    })
    expect((await call('GET', `${at}/ready`)).status).toBe(200)
    const index = (await postJson(`${urlOf('device')}/v2/repository/index`, {})).json
    expect(index).toContainEqual({ name: 'three', version: '1', state: 'READY', reason: '' })
  })

  it('asked for elsewhere says where its entry is', async () => {
    const answer = await infer('three', {}, 'cloud')
    expect(answer.status).toBe(404)
    expect(errorOf(answer.json)).toContain(`${urlOf('device')}/v2/models/three/infer`)
  })

  it('is let go when it is deleted, here or behind our back', async () => {
    await deploy('short-lived', twoHops('device', 'edge'))
    expect(engineOf('edge').loaded()).toContain('branched:2-3')
    await services.state.deployments.delete('short-lived')
    await until(async () => !engineOf('edge').loaded().includes('branched:2-3'))
    const gone = await call('DELETE', `${urlOf('device')}/v1/deployments/short-lived`)
    expect(gone.status).toBe(204)
    expect((await infer('short-lived')).status).toBe(404)
  })

  it('that cannot be loaded says why, and leaves nothing loaded', async () => {
    engineOf('edge').failLoads.set(toy.model.id, 'node conv1: no such operator')
    const deployment = deploymentOf('unloadable', twoHops('device', 'edge'))
    await services.state.deployments.put(deployment.id, deployment)
    const answer = await call('PUT', `${urlOf('edge')}/v1/deployments/unloadable`, JSON.stringify(deployment))
    expect(answer.status).toBe(422)
    expect(answer.json).toMatchObject({
      error: { code: 'invalidModel', message: 'node conv1: no such operator' },
    })
    const stranger = await call(
      'PUT',
      `${urlOf('cloud')}/v1/deployments/unloadable`,
      JSON.stringify(deployment),
    )
    expect(stranger.status).toBe(421)
  })

  it('survives a restart of a resource on its path', async () => {
    await stop('edge')
    await start('edge')
    expect(engineOf('edge').loaded()).toEqual([])
    const answer = await infer('three')
    expect(valuesOf(answer.json)).toEqual(Y.data)
    expect(engineOf('edge').loaded()).toContain('branched:1-2')
  })

  it('changes its plan without losing a request', async () => {
    await deploy('moving', [hop('device', 0, 1), hop('edge', 1, 3)])
    for (const tier of TIERS) engineOf(tier).runMs = 15
    const sending = new AbortController()
    const answers: number[] = []
    const client = async () => {
      while (!sending.signal.aborted) {
        const answer = await infer('moving')
        answers.push(answer.status)
        expect(valuesOf(answer.json)).toEqual(Y.data)
      }
    }
    const clients = [client(), client(), client()]
    await until(async () => answers.length > 5)
    await deploy('moving', twoHops('device', 'edge'))
    const switched = answers.length
    await until(async () => answers.length > switched + 10)
    sending.abort()
    await Promise.all(clients)
    expect(new Set(answers)).toEqual(new Set([200]))
    expect(parametersOf((await infer('moving')).json)).toMatchObject({ scission_hop0_layers: '0-2' })
  })
})

describe('rubbish on the channel of changes', () => {
  it('is passed over: the services go on and hear of the next change', async () => {
    for (const text of ['no JSON', '{"kind":7}', '\u0000', 'x'.repeat(1_000_000)])
      await services.state.redis.publish('scission:changes', text)
    await deploy('after-rubbish', [hop('device', 0, 1), hop('cloud', 1, 3)])
    expect((await infer('after-rubbish')).status).toBe(200)
    const isHeld = () => engineOf('cloud').loaded().includes('branched:1-3')
    expect(isHeld()).toBe(true)
    // The services hear of this by the channel alone.
    await services.state.deployments.delete('after-rubbish')
    await until(async () => !isHeld())
  })
})

describe('a failure on the path', () => {
  it('of a resource that left is a 502 that names it', async () => {
    await deploy('fragile', twoHops('device', 'cloud'))
    await stop('cloud')
    const answer = await infer('fragile')
    expect(answer.status).toBe(502)
    expect(errorOf(answer.json)).toContain('cloud')
    await start('cloud')
    await until(async () => (await infer('fragile')).status === 200)
  })

  it('of a resource that crashed is a 502 that names it and its address', async () => {
    await services.state.resources.put(
      'crashed',
      exampleResource('cloud', { name: 'crashed', url: 'http://127.0.0.1:9' }),
    )
    await services.state.deployments.put(
      'onto-crashed',
      deploymentOf('onto-crashed', twoHops('device', 'crashed')),
    )
    const answer = await infer('onto-crashed')
    expect(answer.status).toBe(502)
    expect(errorOf(answer.json)).toMatch(
      /hop crashed at http:\/\/127.0.0.1:9 cannot be reached: .*ECONNREFUSED/,
    )
  })

  it('of a hop that stays silent is a 504 that names it', async () => {
    await start('hasty', { SCISSION_TIER: 'device', SCISSION_HOP_TIMEOUT_MS: '300' })
    await deploy('impatient', twoHops('hasty', 'cloud'))
    engineOf('cloud').runMs = ENDLESS_MS
    const answer = await infer('impatient', {}, 'hasty')
    expect(answer.status).toBe(504)
    expect(errorOf(answer.json)).toMatch(/hop cloud at .* was silent for \d+ ms/)
    await until(async () => engineOf('cloud').runs.some((run) => run.aborted))
    await stop('hasty')
  })

  it('ends at the client’s own deadline where that comes first', async () => {
    await infer('three')
    engineOf('cloud').runMs = ENDLESS_MS
    const answer = await infer('three', { parameters: { timeout: 60_000 } })
    expect(answer.status).toBe(504)
    engineOf('cloud').runMs = 200
    expect((await infer('three', { parameters: { timeout: 20_000_000 } })).status).toBe(200)
    // More ms than a timer takes.
    for (const timeout of [2 ** 31 * 1000, Number.MAX_SAFE_INTEGER])
      expect((await infer('three', { parameters: { timeout } })).status).toBe(200)
  })

  it('ends at the client’s own deadline while its layers are being loaded, which goes on', async () => {
    const go = engineOf('device').holdLoads()
    await services.state.deployments.put('unheard', deploymentOf('unheard', twoHops('device', 'edge')))
    const answer = await infer('unheard', { parameters: { timeout: 100_000 } })
    expect([answer.status, errorOf(answer.json)]).toEqual([
      504,
      'loading deployment unheard: not done before its deadline',
    ])
    go()
    expect((await infer('unheard')).status).toBe(200)
  })

  it('stops the work of every hop when the client leaves', async () => {
    await infer('three')
    engineOf('cloud').runs.length = 0
    engineOf('cloud').runMs = ENDLESS_MS
    const leaving = new AbortController()
    const pending = fetch(`${urlOf('device')}/v2/models/three/infer`, {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ inputs: [X] }),
      signal: leaving.signal,
    })
    await until(async () => engineOf('cloud').runs.length === 1)
    leaving.abort()
    await expect(pending).rejects.toThrow()
    await until(async () => engineOf('cloud').runs[0]?.aborted === true)
  })
})

describe('a peer that is no inference service', () => {
  let peer: StubServer
  let answerWith = (_req: http.IncomingMessage, res: http.ServerResponse): unknown => res.end()
  const heard: http.IncomingHttpHeaders[] = []
  let strangers = 0

  beforeAll(async () => {
    peer = await stubServer(
      (req, res) => {
        // Not the probes of the link to it.
        if (req.url?.endsWith('/infer')) heard.push(req.headers)
        answerWith(req, res)
      },
      { keepAliveTimeout: 50 },
    )
  })
  afterAll(() => peer.close())
  /** Under a new name each time, so that no failure before it counts. @returns the deployment onto it. */
  async function registerStranger(): Promise<string> {
    strangers += 1
    const [id, name] = [`odd-${strangers}`, `stranger-${strangers}`]
    await services.state.resources.put(name, exampleResource('cloud', { name, url: peer.url }))
    await services.state.deployments.put(id, deploymentOf(id, twoHops('device', name)))
    return id
  }

  it('makes a 502, whatever it answers', async () => {
    const answers: [number, string][] = [
      [200, 'hello'],
      [200, '{"model_name":"odd"}'],
      [404, '{"error":"unknown model"}'],
      [500, '<html>'],
    ]
    for (const [status, body] of answers) {
      answerWith = (_req, res) => res.writeHead(status).end(body)
      const answer = await infer(await registerStranger())
      expect([status, body, answer.status]).toEqual([status, body, 502])
      expect(errorOf(answer.json)).toContain('hop stranger')
    }
    answerWith = (_req, res) => res.socket?.destroy()
    expect((await infer(await registerStranger())).status).toBe(502)
    answerWith = (_req, res) => {
      res.writeHead(200, { 'Content-Length': '1000' }).write('{"half":')
      res.socket?.end()
    }
    expect((await infer(await registerStranger())).status).toBe(502)
  })

  it('that is overloaded makes a 503', async () => {
    answerWith = (_req, res) => res.writeHead(503).end('{"error":"queue full"}')
    const answer = await infer(await registerStranger())
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1'])
    expect(errorOf(answer.json)).toContain('queue full')
  })

  it('that finds a request too large makes a 413, as a whole model does', async () => {
    answerWith = (_req, res) => res.writeHead(413).end('{"error":"needs 9 GB"}')
    const answer = await infer(await registerStranger())
    expect([answer.status, errorOf(answer.json)]).toEqual([413, expect.stringMatching(/^hop stranger.*9 GB/)])
  })

  it('gets the trace context and the request id, and the boundary as binary tensors', async () => {
    heard.length = 0
    const headers = {
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'x-request-id': 'q7',
    }
    const id = await registerStranger()
    const url = `${urlOf('device')}/v2/models/${id}/infer`
    await call('POST', url, JSON.stringify({ inputs: [X] }), headers)
    expect(heard[0]).toMatchObject({ ...headers, 'content-type': 'application/octet-stream' })
    expect(Number(heard[0]?.['content-length'])).toBe(
      Number(heard[0]?.['inference-header-content-length']) + 16,
    )
  })

  it('gets the headers that the service was told to hand on, and no others', async () => {
    await stop('device')
    await start('device', { SCISSION_TRAVELLING_HEADERS: 'X-Tenant, traceparent' })
    heard.length = 0
    const id = await registerStranger()
    const url = `${urlOf('device')}/v2/models/${id}/infer`
    await call('POST', url, JSON.stringify({ inputs: [X] }), { 'x-tenant': 'a', 'x-request-id': 'q8' })
    expect(heard[0]).toMatchObject({ 'x-tenant': 'a' })
    expect(heard[0]).not.toHaveProperty('x-request-id')
    await stop('device')
    await start('device')
  })

  it('that closed an idle connection is called again on a new one', async () => {
    answerWith = (_req, res) => res.end(JSON.stringify({ model_name: 'odd', outputs: [Y] }))
    const id = await registerStranger()
    for (let round = 0; round < 3; round += 1) {
      expect(valuesOf((await infer(id)).json)).toEqual(Y.data)
      peer.server.closeIdleConnections()
    }
  })
})
