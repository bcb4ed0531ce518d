import { once } from 'node:events'
import { Queue, QueueEvents } from 'bullmq'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startLinkEmulator } from '../../../infra/testbed/link-emulator/emulator.ts'
import { keepProfile, keptProfile } from '../../../services/inference/jobs/job-worker.ts'
import type { Engine } from '../../../services/inference/serving/engine.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { cancelKey, stopKey, queueOptions, withErrorHandler } from '../../../shared/platform/redis/queues.ts'
import { producerConnection, workerConnection } from '../../../shared/platform/redis/connections.ts'
import { openState, structureId } from '../../../shared/platform/redis/state.ts'
import { exampleProfile } from '../../support/fixtures.ts'
import { withTestRedis, throughPort } from '../../support/redis.ts'
import { startInference, type TestService } from '../support/service.ts'
import { branchedModel, register, toyEngine } from '../support/toy-models.ts'
import { until } from '../../support/eventually.ts'
import { PATIENCE_MS } from '../../support/patience.ts'

const toy = branchedModel('a')
const log = createLog('test', 'silent')
const redis = withTestRedis()

beforeAll(() => register(redis().state, toy))

describe('the worker of benchmark jobs', () => {
  let queue: Queue
  let events: QueueEvents
  let connection: ReturnType<typeof workerConnection>
  let service: TestService | undefined
  let opened = 0

  beforeEach(async () => {
    queue = withErrorHandler(new Queue('benchmark.edge', queueOptions(redis().state.redis)), 'test')
    connection = workerConnection(redis().url)
    events = withErrorHandler(new QueueEvents('benchmark.edge', { connection }), 'test')
    await events.waitUntilReady()
    opened = 0
  })
  afterEach(async () => {
    await service?.stop()
    service = undefined
    await events.close()
    await queue.close()
    connection.disconnect()
  })

  const start = async (profile: Engine['profile']) => {
    const engine: Engine = {
      ...toyEngine([toy]),
      store: {
        open: async (key) => {
          opened += 1
          const manifest = { ...key, inputs: [], outputs: [], passThrough: [], onnx: null, weights: [] }
          return { path: '/model.onnx', manifest, release: () => undefined }
        },
      },
      profile,
    }
    service = await startInference(redis().url, { SCISSION_RESOURCE: 'edge', SCISSION_TIER: 'edge' }, engine)
  }
  const add = (benchmark: string) =>
    queue.add('profile', {
      benchmark,
      model: toy.model.id,
      shapesKey: toy.structure.shapesKey,
      resource: 'edge',
      runs: 5,
      options: {},
    })

  it('kills a child that hangs when its part is given up from afar, and fails with that reason', async () => {
    let killed = false
    let began = false
    await start((_request, _report, signal) => {
      began = true
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          killed = true
          reject(new Error('SIGKILL'))
        })
      })
    })
    const job = await add('hangs')
    await until(async () => began)
    await redis().state.redis.set(
      stopKey('hangs', 'edge'),
      'resource edge showed no sign of life for 1500 ms',
    )
    await expect(job.waitUntilFinished(events, PATIENCE_MS)).rejects.toThrow(
      'showed no sign of life for 1500 ms',
    )
    expect(killed).toBe(true)
  })

  it.each([
    ['profile', null],
    ['profile', []],
    ['profile', { benchmark: 'b', model: toy.model.id, shapesKey: 7, resource: 'edge', options: {} }],
    ['calibrate', { calibration: ['a'.repeat(1_000_000)] }],
  ])('fails a %s job whose data it cannot read, in one line, and works the next', async (name, data) => {
    await start(() => Promise.reject(new Error('it was begun')))
    const job = await queue.add(name, data, { attempts: 3 })
    const ended = await job.waitUntilFinished(events, PATIENCE_MS).catch((error: Error) => error.message)
    expect(ended).toMatch(/^job \d+ of queue benchmark\.edge cannot be read: [^\n]{5,320}$/)
    expect((await queue.getJob(job.id ?? ''))?.attemptsMade).toBe(1)
    expect(opened).toBe(0)
    await expect((await add('next')).waitUntilFinished(events, PATIENCE_MS)).rejects.toThrow('it was begun')
  })

  it('does not begin what was cancelled while it was away', async () => {
    await redis().state.redis.set(cancelKey('gone'), '1')
    const job = await add('gone')
    await start(() => Promise.reject(new Error('must not be asked')))
    await expect(job.waitUntilFinished(events, PATIENCE_MS)).rejects.toThrow('benchmark gone was cancelled')
    expect(opened).toBe(0)
  })

  it('refuses a model with more weights than the machine has memory, before anything is fetched', async () => {
    const id = structureId(toy.model.id, toy.structure.shapesKey)
    await redis().state.structures.put(id, { ...toy.structure, weightBytes: 2 ** 50 })
    try {
      await start(() => Promise.reject(new Error('must not be asked')))
      const job = await add('huge')
      await expect(job.waitUntilFinished(events, PATIENCE_MS)).rejects.toThrow(
        /1125899906842624 bytes of weights, more than the \d+ bytes of memory of edge/,
      )
      expect(opened).toBe(0)
    } finally {
      await redis().state.structures.put(id, toy.structure)
    }
  })
})

describe('a profile that was measured', () => {
  const job = (id: string) => ({ id, queueName: 'benchmark.edge', timestamp: 1 })
  const never = new AbortController().signal

  it('is found again by its own job only, when the queue gives that out once more', async () => {
    const profile = exampleProfile('edge', [1, 2, 3])
    expect(await keptProfile(redis().state, job('1'))).toBeUndefined()
    await keepProfile(redis().state, job('1'), profile, never, log)
    expect(await keptProfile(redis().state, job('1'))).toBe(profile.id)
    expect(await keptProfile(redis().state, job('2'))).toBeUndefined()
    await redis().state.profiles.delete(profile.id)
    expect(await keptProfile(redis().state, job('1'))).toBeUndefined()
  })

  it('says when it was measured by the clock of Redis, not by that of its machine', async () => {
    const profile = exampleProfile('edge', [1, 2, 3], { measuredAt: '2001-01-01T00:00:00.000Z' })
    const before = await redis().state.clock.read()
    await keepProfile(redis().state, job('4'), profile, never, log)
    const { measuredAt } = await redis().state.profiles.need(profile.id)
    expect(Date.parse(measuredAt)).toBeGreaterThan(before - 60_000)
    expect(Date.parse(measuredAt)).toBeLessThan(before + 60_000)
  })

  it('waits for a Redis that is away, instead of being lost', async () => {
    const target = { host: '127.0.0.1', port: Number(new URL(redis().url).port) }
    const emulator = await startLinkEmulator([
      { name: 'redis', target, rttMs: 0, upMbps: null, downMbps: null },
    ])
    const away = openState(producerConnection(throughPort(redis().url, emulator.ports['redis']), log))
    await once(away.redis, 'ready')
    await emulator.cut('redis', 'reset')
    await until(async () => away.redis.status !== 'ready')
    const profile = exampleProfile('edge', [4, 5, 6])
    const kept = keepProfile(away, job('3'), profile, never, log)
    await expect(away.redis.ping()).rejects.toThrow()
    await emulator.restore('redis')
    await kept
    expect((await redis().state.profiles.need(profile.id)).layerMs).toEqual([4, 5, 6])
    away.redis.disconnect()
    await emulator.close()
  })
})
