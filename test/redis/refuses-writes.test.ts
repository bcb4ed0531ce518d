/** A Redis that still answers reads but takes no writes is named as the fault it is. */
import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State, structureId } from '../../shared/platform/redis/state.ts'
import { checkWritable, refusalOf } from '../../shared/platform/redis/writable.ts'
import { call, startUnready } from '../inference/support/service.ts'
import { toyEngine } from '../inference/support/toy-models.ts'
import { eventually } from '../support/eventually.ts'
import { exampleModel, exampleResource, exampleStructure } from '../support/fixtures.ts'
import { withFolder } from '../support/folder.ts'
import {
  startBenchmark,
  type StartedBenchmark,
  startPlanner,
  type StartedPlanner,
} from '../support/services.ts'
import { ForgetfulRedis } from './forgetful-server.ts'
import { REAL_SERVER } from './persistent-server.ts'

if (REAL_SERVER === undefined) console.log('skipped: no valkey-server or redis-server on the PATH')

it('tells the reasons of Redis from other errors', () => {
  const full = 'OOM command not allowed when used memory > maxmemory. script: 1, on @user_script:1.'
  expect(refusalOf(new Error(full))).toContain('memory is full')
  expect(refusalOf(new Error("READONLY You can't write against a read only replica."))).toContain('REDIS_URL')
  expect(refusalOf(new Error('MISCONF Redis is configured to save RDB snapshots'))).toContain('disk')
  expect(refusalOf(new Error('WRONGTYPE Operation against a key'))).toContain('another program')
  expect(refusalOf(new Error('ERR unknown command'))).toBeUndefined()
})

it('tells a Redis that is connected and silent', async () => {
  vi.useFakeTimers()
  const silent = { set: () => new Promise(() => {}) } as unknown as Redis
  const refused = expect(checkWritable(silent)).rejects.toMatchObject({
    code: 'queueUnavailable',
    message: expect.stringContaining('has not answered'),
  })
  await vi.runAllTimersAsync()
  await refused
  vi.useRealTimers()
})

describe.skipIf(REAL_SERVER === undefined)('a Redis that takes no writes', () => {
  const folder = withFolder('no-writes')
  let redis: ForgetfulRedis
  let state: State
  let benchmark: StartedBenchmark
  let planner: StartedPlanner
  const model = exampleModel()

  beforeAll(async () => {
    redis = await ForgetfulRedis.start('real')
    state = openState(workerConnection(redis.url))
    benchmark = await startBenchmark({ REDIS_URL: redis.url, SCISSION_DATA: folder() })
    planner = await startPlanner(redis.url)
    await state.models.put(model.id, model)
    await state.structures.put(structureId(model.id, exampleStructure().shapesKey), exampleStructure())
    // Its heartbeats do not arrive.
    const heartbeatAt = '2020-01-01T00:00:00.000Z'
    await state.resources.put('device', exampleResource('device', { heartbeatAt }))
    await eventually(async () => {
      const { json } = await call('GET', `${planner.url}/v1/resources`)
      expect((json as { items: unknown[] }).items).toHaveLength(1)
    })
  })
  afterAll(async () => {
    await planner?.close()
    await benchmark?.close()
    state?.redis.disconnect()
    await redis?.close()
  })

  const WAYS = [
    {
      way: 'because it is full',
      refuse: () => state.redis.config('SET', 'maxmemory', '1'),
      allow: () => state.redis.config('SET', 'maxmemory', '0'),
      reason: /memory is full/,
    },
    {
      way: 'because it is read-only',
      refuse: () => state.redis.replicaof('127.0.0.1', '1'),
      allow: () => state.redis.replicaof('NO', 'ONE'),
      reason: /read-only replica/,
    },
  ]
  let allow: () => Promise<unknown> = () => Promise.resolve()
  afterEach(() => allow())

  it.each(WAYS)('$way is the reason of every 503, not the machines', async ({ refuse, reason, ...way }) => {
    allow = way.allow
    await refuse()
    for (const { url } of [benchmark, planner]) {
      const { status, json } = await call('GET', `${url}/readyz`)
      expect([status, json]).toEqual([503, { ready: false, reason: expect.stringMatching(reason) }])
    }
    const started = await call('POST', `${benchmark.url}/v1/benchmarks`, JSON.stringify({ model: model.id }))
    const planned = await call('GET', `${planner.url}/v1/plans?model=${model.id}`)
    const link = await call('DELETE', `${planner.url}/v1/links/device/cloud`)
    for (const { status, json } of [started, planned, link])
      expect([status, json]).toMatchObject([
        503,
        { error: { code: 'queueUnavailable', message: expect.stringMatching(reason) } },
      ])
    const machine = await startUnready(redis.url, { SCISSION_RESOURCE: 'edge' }, toyEngine([]))
    await eventually(async () => {
      const { status, json } = await call('GET', `${machine.url}/readyz`)
      expect([status, json]).toEqual([503, { ready: false, reason: expect.stringMatching(reason) }])
    })
    await way.allow()
    await eventually(async () => expect((await call('GET', `${machine.url}/readyz`)).status).toBe(200))
    await machine.stop()
    for (const { url } of [benchmark, planner])
      await eventually(async () => expect((await call('GET', `${url}/readyz`)).status).toBe(200))
  })
})
