/** Whoever reaches Redis can publish anything where the services hear of changes: they go on, and count it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ManagedProcess } from '../../infra/start/processes/process.ts'
import type { OpenRedis } from '../../infra/start/redis/open-redis.ts'
import { CHANGES_CHANNEL } from '../../shared/platform/redis/changes.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { TEST_SERVERS } from '../redis/servers.ts'
import { eventually } from '../support/eventually.ts'
import { withFolder } from '../support/folder.ts'
import { startServiceProcess } from '../support/service-process.ts'

const NO_CHANGES = [
  'x',
  '',
  '{',
  'null',
  '[]',
  '{"kind":1}',
  '{"kind":"models"}',
  'y'.repeat(100_000),
  '\u0000',
]

describe.each(TEST_SERVERS)('messages that are no changes, on $name', ({ open, skip }) => {
  const folder = withFolder('foreign-messages')
  let redis: OpenRedis
  let services: ManagedProcess[] = []

  beforeAll(async () => {
    if (skip) return
    redis = await open()
    const env = { REDIS_URL: redis.url, SCISSION_DATA: folder() }
    const machine = { ...env, SCISSION_RESOURCE: 'device', SCISSION_TIER: 'device' }
    services = await Promise.all([
      startServiceProcess('benchmark', env),
      startServiceProcess('planner', env),
      startServiceProcess('inference', machine),
    ])
  })
  afterAll(async () => {
    await Promise.all(services.map((service) => service.stop()))
    await redis?.close()
  })

  const ignoredBy = async ({ url }: ManagedProcess) => {
    const text = await (await fetch(`${url}/metrics`)).text()
    return Number(/scission_ignored_total\{what="message"\} (\d+)/.exec(text)?.[1] ?? 0)
  }

  it.skipIf(skip)('end no service, and are counted by each that listens', async () => {
    const [benchmark, ...listeners] = services
    for (const service of services)
      await eventually(async () => expect((await fetch(`${service.url}/readyz`)).status).toBe(200))
    const before = await Promise.all(listeners.map(ignoredBy))
    const stranger = producerConnection(redis.url)
    await new Promise((resolve) => stranger.once('ready', resolve))
    for (const message of NO_CHANGES) await stranger.publish(CHANGES_CHANNEL, message)
    stranger.disconnect()
    for (const [at, service] of listeners.entries())
      await eventually(async () =>
        expect(await ignoredBy(service)).toBeGreaterThanOrEqual((before[at] ?? 0) + NO_CHANGES.length),
      )
    for (const { url } of [benchmark, ...listeners].filter((one) => one !== undefined))
      expect((await fetch(`${url}/readyz`)).status).toBe(200)
  })
})
