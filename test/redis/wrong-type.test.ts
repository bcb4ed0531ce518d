/** Another program, or somebody else, has put something under a key of the system in Redis that is no collection of documents. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type SecuredServices, startSecuredServices } from '../access/services.ts'
import { eventually } from '../support/eventually.ts'
import { JSON_TYPE } from '../support/json-type.ts'

let services: SecuredServices
beforeAll(async () => {
  services = await startSecuredServices()
  await eventually(async () => expect((await ask('planner', '/v1/resources')).status).toBe(200))
})
afterAll(() => services.close())

const READ: Record<string, [service: string, path: string][]> = {
  models: [
    ['benchmark', '/v1/models'],
    ['benchmark', '/v1/models/net'],
    ['planner', '/v1/quotas'],
    ['inference', '/v2/models/net'],
  ],
  profiles: [['benchmark', '/v1/profiles']],
  calibrations: [['benchmark', '/v1/calibrations']],
  deployments: [['planner', '/v1/deployments']],
  resources: [['planner', '/v1/resources']],
  links: [['planner', '/v1/links']],
}

const ask = (service: string, path: string, init: RequestInit = {}) =>
  fetch(`${services.urlOf(service, 'everything')}${path}`, {
    ...init,
    headers: { Authorization: `Bearer ${services.tokenOf('operator', 'system')}`, ...JSON_TYPE },
  })

it.each(Object.entries(READ))(
  'under scission:%s is said, and is no fault of the service',
  async (kind, reads) => {
    const key = `scission:${kind}`
    const { redis } = services.state
    await redis.del(key)
    await redis.set(key, 'x')
    try {
      for (const [service, path] of reads) {
        const answer = await ask(service, path)
        const text = await answer.text()
        // A service that has a copy of it goes on with that.
        if (answer.status === 200) continue
        expect([path, answer.status], text).toEqual([path, 503])
        expect(text).toContain(`Redis holds something under ${key} that no service writes`)
      }
    } finally {
      await redis.del(key)
    }
  },
)

it('is said by who writes there', async () => {
  const { redis } = services.state
  const kept = await redis.hgetall('scission:keys')
  await redis.del('scission:keys')
  await redis.set('scission:keys', 'x')
  const answer = await ask('planner', '/v1/keys', {
    method: 'POST',
    body: '{"kind":"client","name":"camera"}',
  })
  expect(answer.status).toBe(503)
  expect(await answer.text()).toContain('under scission:keys')
  await redis.del('scission:keys')
  await redis.hset('scission:keys', kept)
})
