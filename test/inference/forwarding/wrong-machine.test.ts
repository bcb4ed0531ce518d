/** A hop whose address leads to another machine: what that one computes does not count as the hop's. */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../../support/eventually.ts'
import { exampleResource, hop } from '../../support/fixtures.ts'
import { call, parametersOf, valuesOf } from '../support/service.ts'
import { branchedModel, Y } from '../support/toy-models.ts'
import { withToyServices } from '../support/toy-services.ts'

const services = withToyServices([branchedModel('a')])
const { start, urlOf, infer, engineOf } = services
const conditions = async () => (await services.state.conditions.all()).map(({ id }) => id)
const register = (name: string, url: string) =>
  services.state.resources.put(name, exampleResource('edge', { name, url, instance: `${name}-itself` }))

beforeAll(async () => {
  await start('device')
  await start('edge')
})
beforeEach(async () => {
  for (const id of await services.state.deployments.ids()) {
    await services.state.deployments.delete(id)
    for (const name of ['device', 'edge']) await call('DELETE', `${urlOf(name)}/v1/deployments/${id}`)
  }
})

describe('a hop at whose address another machine is', () => {
  it('that has no part in the deployment is refused by it, and computed elsewhere', async () => {
    await register('away', urlOf('edge'))
    await services.deploy(services.deploymentOf('refused', [hop('device', 0, 2), hop('away', 2, 3)]))
    for (let round = 0; round < 8; round += 1) {
      const { json } = await infer('refused')
      expect(valuesOf(json)).toEqual(Y.data)
      expect(parametersOf(json)).toMatchObject({
        scission_hop1_resource: 'device',
        scission_hop1_insteadOf: 'away',
      })
    }
    await until(async () => (await conditions()).includes('wrong-machine/device/away'))
    expect((await services.state.conditions.need('wrong-machine/device/away')).message).toMatch(
      /^device looked for away at .*, and the inference service "edge" answered: set SCISSION_PUBLIC_URL of away/,
    )
    // It answered, so it is not taken from other deployments.
    expect(await conditions()).not.toContain('open-breaker/device/away')
    expect(engineOf('edge').runs).toHaveLength(0)
  })

  it('that stands by for it computes under its own name', async () => {
    await register('twin', urlOf('edge'))
    const hops = [hop('device', 0, 2), hop('twin', 2, 3, { alternates: ['edge'] })]
    await services.deploy(services.deploymentOf('twins', hops))
    for (let round = 0; round < 8; round += 1) {
      const { json } = await infer('twins')
      expect(valuesOf(json)).toEqual(Y.data)
      expect(parametersOf(json)).toMatchObject({
        scission_hop1_resource: 'edge',
        scission_hop1_insteadOf: 'twin',
      })
    }
    await until(async () => (await conditions()).includes('wrong-machine/device/twin'))
    await until(async () => (await conditions()).includes('open-breaker/device/twin'))
    expect((await services.state.conditions.need('open-breaker/device/twin')).message).toMatch(
      /leaves twin alone: hop twin: device looked for twin at .*, and edge answered: set SCISSION_PUBLIC_URL of twin/,
    )
    // A breaker that is open asks nobody: few requests were computed twice.
    expect(engineOf('edge').runs.length).toBeLessThan(16)
    expect(await services.state.links.get('device>twin')).toBeUndefined()
  })
})

describe('an entry at whose address another machine is', () => {
  it('gets its answer through the chain', async () => {
    const route = { device: { url: urlOf('edge') } }
    await start('cloud', { SCISSION_ROUTES: JSON.stringify(route) })
    const hops = [hop('device', 0, 1), hop('edge', 1, 2), hop('cloud', 2, 3)]
    await services.deploy(services.deploymentOf('direct', hops, { answer: 'direct' }))
    for (let round = 0; round < 3; round += 1) {
      const { status, json } = await infer('direct')
      expect([status, valuesOf(json)]).toEqual([200, Y.data])
      expect(parametersOf(json)).toMatchObject({ scission_hop2_resource: 'cloud' })
    }
    await until(async () => (await conditions()).includes('wrong-machine/cloud/device'))
    expect((await services.state.conditions.need('wrong-machine/cloud/device')).message).toMatch(
      /correct the address of device in SCISSION_ROUTES of cloud$/,
    )
  })
})

describe('what a planner tells a machine', () => {
  it('is refused by another one, which says so', async () => {
    const deployment = services.deploymentOf('told', [hop('device', 0, 2), hop('edge', 2, 3)])
    await services.state.deployments.put(deployment.id, deployment)
    const told = (method: string, resource: string) => {
      const body = method === 'PUT' ? JSON.stringify(deployment) : undefined
      return call(method, `${urlOf('edge')}/v1/deployments/told?resource=${resource}`, body)
    }
    const refused = {
      code: 'misdirected',
      message: expect.stringMatching(
        /^this is edge: device was looked for at 127\.0\.0\.1:\d+\. Set SCISSION_PUBLIC_URL of device/,
      ) as string,
    }
    expect((await told('PUT', 'edge')).status).toBe(200)
    for (const method of ['PUT', 'DELETE']) {
      const { status, json } = await told(method, 'device')
      expect([status, json]).toMatchObject([421, { error: refused }])
    }
    // It was not released by what was meant for another one.
    expect((await call('GET', `${urlOf('edge')}/v2/models/told/ready`)).status).toBe(200)
    expect((await told('DELETE', 'edge')).status).toBe(204)
  })
})
