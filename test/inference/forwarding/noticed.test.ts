/** What an inference service notices of its peers: in Redis, in its metrics and its log, once. */
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { Collection } from '../../../shared/platform/redis/collection.ts'
import { until } from '../../support/eventually.ts'
import { hop } from '../../support/fixtures.ts'
import { call, parametersOf } from '../support/service.ts'
import { rightAnswer, startStranger } from '../support/stranger.ts'
import { branchedModel } from '../support/toy-models.ts'
import { withToyServices } from '../support/toy-services.ts'

const services = withToyServices([branchedModel('a')])
const { start, stop, urlOf, infer } = services
const ONTO_EDGE1 = [hop('device', 0, 2), hop('edge1', 2, 3)]
const deploy = (id: string) => services.deploy(services.deploymentOf(id, ONTO_EDGE1))
const ids = async () => (await services.state.conditions.all()).map(({ id }) => id)

async function metric(name: string, kind: string): Promise<number> {
  const { body } = await call('GET', `${urlOf('device')}/metrics`)
  return Number(new RegExp(`^${name}{kind="${kind}"} (\\d+)$`, 'm').exec(body.toString())?.[1])
}

beforeAll(() => start('device'))

describe('a peer that cannot be reached', () => {
  it('is one condition, its stand-in another, until it is back', async () => {
    const edge = await startStranger(services.state, 'edge1')
    edge.answerWith = (res) => res.socket?.destroy()
    await deploy('noticed')
    const add = vi.spyOn(Collection.prototype, 'add')
    for (let round = 0; round < 30; round += 1) expect((await infer('noticed')).status).toBe(200)
    await until(async () => (await ids()).length === 2)
    expect(await ids()).toEqual(['open-breaker/device/edge1', 'stand-in/noticed/1/device'])
    expect(add).toHaveBeenCalledTimes(2)
    add.mockRestore()
    expect((await services.state.conditions.get('stand-in/noticed/1/device'))?.message).toMatch(
      /^deployment noticed: device stands in for edge1 \(hop 1\): hop edge1 at .* cannot be reached/,
    )
    for (const kind of ['open-breaker', 'stand-in']) {
      expect(await metric('scission_conditions_active', kind)).toBe(1)
      expect(await metric('scission_conditions_total', kind)).toBe(1)
    }
    edge.answerWith = (res, path) => (path.endsWith('/infer') ? rightAnswer(res) : res.end())
    await until(async () => {
      const { json } = await infer('noticed')
      return parametersOf(json)['scission_hop1_insteadOf'] === undefined
    })
    await until(async () => (await ids()).join() === 'stand-in/noticed/1/device')
    // No other machine answered for a while.
    await until(async () => {
      await infer('noticed')
      return (await ids()).length === 0
    })
    expect(await metric('scission_conditions_active', 'stand-in')).toBe(0)
    expect(await metric('scission_conditions_total', 'stand-in')).toBe(1)
    await edge.close()
  })

  it('is no condition of a deployment that is gone, nor of a service that stopped', async () => {
    const edge = await startStranger(services.state, 'edge1')
    edge.answerWith = (res) => res.socket?.destroy()
    await deploy('gone')
    for (let round = 0; round < 4; round += 1) await infer('gone')
    await until(async () => (await ids()).length === 2)
    await call('DELETE', `${urlOf('device')}/v1/deployments/gone`)
    await until(async () => (await ids()).join() === 'open-breaker/device/edge1')
    await stop('device')
    expect(await ids()).toEqual([])
    await start('device')
    await edge.close()
  })
})
