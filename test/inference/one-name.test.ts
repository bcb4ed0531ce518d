/** A name belongs to one inference service at a time. */
import { afterEach, beforeAll, afterAll, describe, expect, it } from 'vitest'
import { freePorts } from '../../infra/start/ports.ts'
import type { ManagedProcess } from '../../infra/start/processes/process.ts'
import type { OpenRedis } from '../../infra/start/redis/open-redis.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import { TEST_SERVERS } from '../redis/servers.ts'
import { eventually, until } from '../support/eventually.ts'
import { withFolder } from '../support/folder.ts'
import { crash, startServiceProcess } from '../support/service-process.ts'
import { call, startUnready, type TestService } from './support/service.ts'
import { branchedModel, toyEngine } from './support/toy-models.ts'

const toy = branchedModel('a')
const folder = withFolder('one-name')
/** Its last heartbeat outlives every test. */
const LONG_LEASE = { SCISSION_HEARTBEAT_MS: '60000' }

describe.each(TEST_SERVERS)('the name of a machine, on $name', ({ open, skip }) => {
  let redis: OpenRedis
  let state: State
  const services: TestService[] = []
  const processes: ManagedProcess[] = []

  beforeAll(async () => {
    if (skip) return
    redis = await open()
    state = openState(producerConnection(redis.url))
    await new Promise((resolve) => state.redis.once('ready', resolve))
  })
  afterEach(async () => {
    await Promise.all(services.splice(0).map((service) => service.stop()))
    await Promise.all(processes.splice(0).map((process) => process.stop()))
  })
  afterAll(async () => {
    state?.redis.disconnect()
    await redis?.close()
  })

  const start = async (name: string, env: Record<string, string> = {}) => {
    const settings = { SCISSION_RESOURCE: name, SCISSION_HEARTBEAT_MS: '1000', ...env }
    const service = await startUnready(redis.url, settings, toyEngine([toy]))
    services.push(service)
    return service
  }
  const startProcess = async (name: string, env: Record<string, string> = {}) => {
    const common = { REDIS_URL: redis.url, SCISSION_DATA: folder(), SCISSION_RESOURCE: name }
    const started = await startServiceProcess('inference', {
      ...common,
      SCISSION_HEARTBEAT_MS: '1000',
      ...env,
    })
    processes.push(started)
    return started
  }
  const readiness = async ({ url }: { url: string }) => {
    const { status, json } = await call('GET', `${url}/readyz`)
    return { status, reason: (json as { reason?: string }).reason ?? '' }
  }
  const isReady = async (service: { url: string }) => (await readiness(service)).status === 200
  const owner = async (name: string) => (await state.resources.get(name))?.url

  it.skipIf(skip)(
    'is refused to a second service at its start, with both addresses and what to do',
    async () => {
      const first = await start('twice')
      await until(() => isReady(first))
      const second = startProcess('twice')
      await expect(second).rejects.toThrow(
        new RegExp(
          `ended with code 1[^]*twice[^]*: this one at http.*one at ${first.url}.*SCISSION_RESOURCE`,
        ),
      )
      expect(await owner('twice')).toBe(first.url)
      expect(await isReady(first)).toBe(true)
    },
  )

  it.skipIf(skip)('is a second one’s as soon as the first has left', async () => {
    const first = await start('handed-on')
    await until(() => isReady(first))
    const second = await start('handed-on')
    await eventually(async () => expect((await readiness(second)).reason).toContain(first.url))
    await services.shift()?.stop()
    await until(() => isReady(second))
    expect(await owner('handed-on')).toBe(second.url)
  })

  it.skipIf(skip)('is exactly one’s if several start at the same moment', async () => {
    const all = await Promise.all([1, 2, 3, 4].map(() => start('together')))
    await eventually(async () => {
      const found = await Promise.all(all.map(readiness))
      expect(found.filter(({ status }) => status === 200)).toHaveLength(1)
      expect(found.filter(({ reason }) => reason.includes('SCISSION_RESOURCE'))).toHaveLength(3)
    })
    const [winner] = (await Promise.all(all.map(async (one) => ((await isReady(one)) ? one : [])))).flat()
    expect(await owner('together')).toBe(winner?.url)
  })

  it.skipIf(skip)(
    'comes back to a service that crashed, at the same address and without a wait',
    async () => {
      const [port] = await freePorts(1)
      const env = { ...LONG_LEASE, SCISSION_PORT: String(port) }
      const first = await startProcess('crashed', env)
      await until(() => isReady(first))
      await crash(first)
      const again = await startProcess('crashed', env)
      await until(() => isReady(again))
      expect(await owner('crashed')).toBe(again.url)
    },
  )

  it.skipIf(skip)('comes back to one that crashed and has another port on the same machine', async () => {
    const first = await startProcess('moved', LONG_LEASE)
    await until(() => isReady(first))
    await crash(first)
    const again = await startProcess('moved', LONG_LEASE)
    await until(() => isReady(again))
    expect(await owner('moved')).toBe(again.url)
  })

  it.skipIf(skip)('of a machine that cannot be asked is free once its heartbeat has expired', async () => {
    const first = await start('cut-off')
    await until(() => isReady(first))
    const record = await state.resources.need('cut-off')
    await services.shift()?.stop()
    // Its power went: an address that answers nobody, on another host.
    const heartbeatAt = new Date(await state.clock.read()).toISOString()
    await state.resources.put('cut-off', { ...record, url: 'http://192.0.2.1:1', host: 'other', heartbeatAt })
    const second = await start('cut-off')
    await until(() => isReady(second))
    expect(await owner('cut-off')).toBe(second.url)
  })

  it.skipIf(skip)('is what a pace is told under: by its owner alone', async () => {
    // It learns that it was replaced before its first sample is due.
    const first = await start('paced', { SCISSION_HEARTBEAT_MS: '100' })
    await until(() => isReady(first))
    const heartbeatAt = new Date((await state.clock.read()) + 3_600_000).toISOString()
    const own = await state.resources.need('paced')
    await state.resources.put('paced', {
      ...own,
      instance: 'another',
      url: 'http://192.0.2.1:1',
      heartbeatAt,
    })
    await until(async () => !(await isReady(first)))
    const begunLater = await start('begun-later')
    await until(() => state.paces.has('begun-later'))
    expect([await isReady(first), await isReady(begunLater)]).toEqual([false, true])
    expect(await state.paces.has('paced')).toBe(false)
    await state.resources.delete('paced')
    await until(() => state.paces.has('paced'))
    expect(await owner('paced')).toBe(first.url)
  })

  it.skipIf(skip)('is not written over by a heartbeat of one that another has replaced', async () => {
    const first = await start('replaced')
    await until(() => isReady(first))
    const own = await state.resources.need('replaced')
    const heartbeatAt = new Date((await state.clock.read()) + 3_600_000).toISOString()
    const successor = { ...own, instance: 'another', url: 'http://192.0.2.1:1', heartbeatAt }
    await state.resources.put('replaced', successor)
    await until(async () => !(await isReady(first)))
    expect((await readiness(first)).reason).toContain('192.0.2.1')
    expect(await state.resources.need('replaced')).toEqual(successor)
    await state.resources.delete('replaced')
    await until(() => isReady(first))
    expect(await owner('replaced')).toBe(first.url)
  })
})
