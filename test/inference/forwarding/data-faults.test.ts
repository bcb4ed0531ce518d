/** What a peer answers shows that it lives: a request that it refuses takes it from nobody else. */
import type http from 'node:http'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { until } from '../../support/eventually.ts'
import { type Hop, hop } from '../../support/fixtures.ts'
import { call, errorOf, parametersOf, valuesOf } from '../support/service.ts'
import { infers, rightAnswer, startStranger } from '../support/stranger.ts'
import { branchedModel, Y } from '../support/toy-models.ts'
import { withToyServices } from '../support/toy-services.ts'

const services = withToyServices([branchedModel('a')])
const { start, urlOf, engineOf, infer } = services
const deploy = (id: string, hops: Hop[], changes?: Partial<Deployment>) =>
  services.deploy(services.deploymentOf(id, hops, changes))
const ONTO_EDGE1 = [hop('device', 0, 2), hop('edge1', 2, 3)]

/** As an inference service refuses. */
const refuse = (res: http.ServerResponse, status: number, code: string | undefined, error: string) =>
  res.writeHead(status, code === undefined ? {} : { 'Scission-Error': code }).end(JSON.stringify({ error }))

const openBreakers = async () => {
  const { json } = await call('GET', `${urlOf('device')}/healthz`)
  return (json as { openBreakers: string[] }).openBreakers
}

beforeAll(async () => {
  await start('device')
  await start('edge2', { SCISSION_TIER: 'edge' })
})

describe('a peer that refuses a request', () => {
  it.each([
    ['invalidValues', 'Gather: index out of bounds'],
    ['invalidTensor', 'it does not run with x [3]'],
  ])('because of what the client sent passes the refusal on: %s', async (code, text) => {
    const edge = await startStranger(services.state, 'edge1')
    edge.answerWith = (res, path) =>
      path.includes('/bad-') ? refuse(res, 400, code, text) : rightAnswer(res)
    const hops = [hop('device', 0, 2), hop('edge1', 2, 3, { alternates: ['edge2'] })]
    await deploy(`bad-${code}`, hops)
    await deploy(`good-${code}`, ONTO_EDGE1)
    await until(async () => engineOf('device').loaded().includes('branched:2-3'))
    for (let round = 0; round < 6; round += 1) {
      const refused = await infer(`bad-${code}`)
      expect([refused.status, refused.headers['scission-error']]).toEqual([400, code])
      expect(errorOf(refused.json)).toBe(`hop edge1 answered 400: ${text}`)
      const other = await infer(`good-${code}`)
      expect([other.status, parametersOf(other.json)['scission_hop1_insteadOf']]).toEqual([200, undefined])
    }
    expect(infers(edge)).toHaveLength(12)
    // Nobody else computed what was refused.
    expect(engineOf('edge2').runs).toEqual([])
    expect(engineOf('device').runs.filter(({ range }) => range === 'branched:2-3')).toEqual([])
    expect(await openBreakers()).toEqual([])
    await edge.close()
  })

  it.each([
    [500, 'internal'],
    [502, 'peerUnavailable'],
    [501, 'unsupportedEncoding'],
    [504, 'deadlineExceeded'],
    [404, 'notFound'],
    [413, 'payloadTooLarge'],
  ])('with %i %s is passed over by that deployment, and used by others', async (status, code) => {
    const edge = await startStranger(services.state, 'edge1')
    edge.answerWith = (res, path) =>
      path.includes('/failing-') ? refuse(res, status, code, 'it broke') : rightAnswer(res)
    await deploy(`failing-${code}`, ONTO_EDGE1)
    await deploy(`working-${code}`, ONTO_EDGE1)
    for (let round = 0; round < 6; round += 1) {
      const diverted = await infer(`failing-${code}`)
      expect([diverted.status, valuesOf(diverted.json)]).toEqual([200, Y.data])
      expect(parametersOf(diverted.json)['scission_hop1_insteadOf']).toBe('edge1')
      const other = await infer(`working-${code}`)
      expect([other.status, parametersOf(other.json)['scission_hop1_insteadOf']]).toEqual([200, undefined])
    }
    expect(await openBreakers()).toEqual([])
    await edge.close()
  })

  it('does not keep those from it that have no other way', async () => {
    const edge = await startStranger(services.state, 'edge1')
    let bad = true
    edge.answerWith = (res) => (bad ? refuse(res, 500, 'internal', 'it broke') : rightAnswer(res))
    await deploy('no-way', ONTO_EDGE1, { fallback: 'none' })
    for (let round = 0; round < 6; round += 1) {
      bad = true
      for (const _ of [1, 2, 3, 4]) {
        const { status, json } = await infer('no-way')
        expect([status, errorOf(json)]).toEqual([502, 'hop edge1 answered 500: it broke'])
      }
      bad = false
      expect((await infer('no-way')).status).toBe(200)
    }
    await edge.close()
  })

  it('is left alone by a deployment at which it fails, until it answers a probe', async () => {
    const edge = await startStranger(services.state, 'edge1')
    let broken = true
    edge.answerWith = (res, path) => {
      if (!path.endsWith('/infer')) return res.end()
      return broken ? refuse(res, 500, 'internal', 'it broke') : rightAnswer(res)
    }
    await deploy('mended', ONTO_EDGE1)
    for (let round = 0; round < 20; round += 1) expect((await infer('mended')).status).toBe(200)
    expect(infers(edge).length).toBeLessThan(20)
    broken = false
    await until(async () => {
      const { status, json } = await infer('mended')
      expect(status).toBe(200)
      return parametersOf(json)['scission_hop1_insteadOf'] === undefined
    })
    await edge.close()
  })
})

describe('an answer that no inference service gives', () => {
  it.each([500, 502, 504])(
    'with status %i, as of a proxy before a lost peer, opens its breaker',
    async (status) => {
      const edge = await startStranger(services.state, 'edge1')
      edge.answerWith = (res) => res.writeHead(status).end('<html>Bad Gateway</html>')
      await deploy(`proxy-${status}`, ONTO_EDGE1)
      for (let round = 0; round < 4; round += 1) expect((await infer(`proxy-${status}`)).status).toBe(200)
      expect(await openBreakers()).toEqual(['edge1'])
      await edge.close()
    },
  )

  it.each(['no JSON', '{"outputs": 5}', '{"outputs":[{"name":"y"}]}'])(
    'opens its breaker: %s',
    async (body) => {
      const edge = await startStranger(services.state, 'edge1')
      edge.answerWith = (res) => res.end(body)
      const id = `broken-${body.length}`
      await deploy(id, ONTO_EDGE1)
      for (let round = 0; round < 4; round += 1) expect((await infer(id)).status).toBe(200)
      expect(await openBreakers()).toEqual(['edge1'])
      await edge.close()
    },
  )
})
