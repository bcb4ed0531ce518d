/** What machines tell each other counts only from machines: here every request counts as a client's. */
import http from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  type isFromMachine,
  isMachineHeader,
  withoutMachines,
} from '../../../services/inference/api/from-machine.ts'
import { exampleResource, hop } from '../../support/fixtures.ts'
import { type StubServer, stubServer } from '../../support/stub-server.ts'
import { call, parametersOf, valuesOf } from '../support/service.ts'
import { branchedModel, X, Y } from '../support/toy-models.ts'
import { withToyServices } from '../support/toy-services.ts'

const asked = vi.hoisted(() => ({ isMachine: false }))
vi.mock('../../../services/inference/api/from-machine.ts', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  isFromMachine: () => asked.isMachine,
}))

const services = withToyServices([branchedModel('a')])
const { infer, urlOf, deploymentOf, deploy } = services
const HOPS = [hop('device', 0, 2), hop('edge', 2, 3)]

beforeAll(async () => {
  await services.start('device', { SCISSION_TRAVELLING_HEADERS: 'x-request-id,scission-secret' })
  await deploy(deploymentOf('half', HOPS))
})
beforeEach(() => {
  asked.isMachine = false
})

describe('parameters of hops', () => {
  const ofHop = { scission_hop: 7, scission_plan: 'another', scission_slot: 'guessed' }

  it('are dropped from a client: its request is for the entry', async () => {
    await deploy(deploymentOf('whole', [hop('device', 0, 3)]))
    const answer = await infer('whole', { parameters: ofHop })
    expect([answer.status, valuesOf(answer.json)]).toEqual([200, Y.data])
    expect(answer.headers['server-timing']).toBeUndefined()
  })

  it('count from a machine', async () => {
    asked.isMachine = true
    expect((await infer('whole', { parameters: ofHop })).status).not.toBe(200)
  })

  it('leave what clients may say', async () => {
    const answer = await infer('whole', { parameters: { scission_timing: false, ...ofHop } })
    expect(parametersOf(answer.json) ?? {}).not.toHaveProperty('scission_hops')
    expect(withoutMachines({ scission_codec: 'zstd', timeout: 5, scission_hop0_resource: 'x' })).toEqual({
      scission_codec: 'zstd',
      timeout: 5,
    })
  })
})

describe('headers', () => {
  let peer: StubServer
  let heard: http.IncomingHttpHeaders | undefined
  beforeAll(async () => {
    peer = await stubServer((req, res) => {
      if (req.url?.endsWith('/infer')) heard = req.headers
      res.end(JSON.stringify({ model_name: 'half', outputs: [Y] }))
    })
    await services.state.resources.put('edge', exampleResource('edge', { url: peer.url }))
  })
  afterAll(() => peer.close())

  const send = () =>
    call('POST', `${urlOf('device')}/v2/models/half/infer`, JSON.stringify({ inputs: [X] }), {
      'x-request-id': 'q1',
      'Scission-Secret': 'guessed',
    })

  it('that machines send do not travel for a client, whatever the settings; those of traces do', async () => {
    expect((await send()).status).toBe(200)
    expect(heard).toMatchObject({ 'x-request-id': 'q1' })
    expect(heard).not.toHaveProperty('scission-secret')
    expect(isMachineHeader('scission-secret')).toBe(true)
  })

  it('travel for a machine', async () => {
    asked.isMachine = true
    expect((await send()).status).toBe(200)
    expect(heard).toMatchObject({ 'scission-secret': 'guessed' })
  })
})

it('every request counts as a machine’s for as long as machines have no identity', async () => {
  const file = '../../../services/inference/api/from-machine.ts'
  const { isFromMachine: today } = await vi.importActual<{ isFromMachine: typeof isFromMachine }>(file)
  expect(today(new http.IncomingMessage(null as never))).toBe(true)
})
