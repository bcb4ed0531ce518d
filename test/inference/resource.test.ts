import { Queue, QueueEvents } from 'bullmq'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startLinkEmulator } from '../../infra/testbed/link-emulator/emulator.ts'
import type { Engine } from '../../services/inference/serving/engine.ts'
import { BenchmarkProgress } from '../../shared/contracts/profile.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { withTestRedis, throughPort } from '../support/redis.ts'
import { call, postJson, startInference, startUnready, type TestService } from './support/service.ts'
import { branchedModel, register, toyEngine, X } from './support/toy-models.ts'
import { until } from '../support/eventually.ts'
import { PATIENCE_MS } from '../support/patience.ts'
import { queueOptions, withErrorHandler } from '../../shared/platform/redis/queues.ts'

const toy = branchedModel('a')

const redis = withTestRedis()
const services: TestService[] = []

async function start(env: Record<string, string> = {}, engine?: Engine): Promise<TestService> {
  const settings = { SCISSION_RESOURCE: 'edge', SCISSION_TIER: 'edge', SCISSION_HEARTBEAT_MS: '200', ...env }
  const service = await startInference(redis().url, settings, engine ?? toyEngine([toy]))
  services.push(service)
  return service
}
beforeAll(() => register(redis().state, toy))
afterEach(() => Promise.all(services.splice(0).map((service) => service.stop())))

describe('an inference service', () => {
  it('registers its machine, keeps its heartbeat, and leaves when it stops', async () => {
    const service = await start({
      SCISSION_SLOWDOWN: '2',
      SCISSION_BODY_MEMORY_BYTES: '200000000',
      SCISSION_TRIAL_MEMORY_BYTES: '300000000',
      SCISSION_HOP_TIMEOUT_MS: '4000',
    })
    const first = await redis().state.resources.need('edge')
    expect(first).toMatchObject({
      tier: 'edge',
      tierIndex: 1,
      url: service.url,
      slowdown: 2,
      emulated: true,
      options: { threads: 1, optimisation: 'all' },
      limits: { messageBytes: 200_000_000, stageBytes: 300_000_000, hopTimeoutMs: 4000 },
      machine: { node: process.version, onnxruntime: '1.30.0' },
    })
    await until(async () => (await redis().state.resources.need('edge')).heartbeatAt > first.heartbeatAt)
    await services.pop()?.stop()
    expect(await redis().state.resources.get('edge')).toBeUndefined()
  })

  it('refuses to start in a tier that is not one of the tiers', async () => {
    await expect(start({ SCISSION_TIER: 'orbit' })).rejects.toThrow('SCISSION_TIER=orbit is not one of')
  })

  it('is alive without Redis, and not ready before Redis knew of it once', async () => {
    const service = await startUnready('redis://127.0.0.1:1', { SCISSION_RESOURCE: 'edge' }, toyEngine([toy]))
    services.push(service)
    expect((await call('GET', `${service.url}/v2/health/live`)).status).toBe(200)
    const ready = await call('GET', `${service.url}/readyz`)
    expect(ready.status).toBe(503)
    expect(ready.json).toMatchObject({ reason: expect.stringContaining('Redis') })
  })

  it('goes on serving what it has loaded while Redis is away, and registers again when it is back', async () => {
    const target = { host: '127.0.0.1', port: Number(new URL(redis().url).port) }
    const line = { name: 'redis', target, rttMs: 0, upMbps: null, downMbps: null }
    const emulator = await startLinkEmulator([line])
    const url = throughPort(redis().url, emulator.ports['redis'])
    const settings = { SCISSION_RESOURCE: 'edge', SCISSION_TIER: 'edge', SCISSION_HEARTBEAT_MS: '200' }
    const service = await startInference(url, settings, toyEngine([toy]))
    services.push(service)
    const infer = (model: string) => postJson(`${service.url}/v2/models/${model}/infer`, { inputs: [X] })
    const connected = async () => {
      const { json } = await call('GET', `${service.url}/healthz`)
      return (json as { redisConnected: boolean }).redisConnected
    }
    expect((await infer('branched')).status).toBe(200)
    const asked = ['/v2/models/branched', '/v2/models/branched/stats', '/v2/models/stats']
    const answers = () => Promise.all(asked.map((path) => call('GET', `${service.url}${path}`)))
    expect((await answers()).map(({ status }) => status)).toEqual([200, 200, 200])
    await emulator.cut('redis', 'reset')
    await until(async () => !(await connected()))
    expect((await infer('branched')).status).toBe(200)
    expect((await call('GET', `${service.url}/readyz`)).status).toBe(200)
    expect((await answers()).map(({ status }) => status)).toEqual([200, 200, 200])
    const unknown = await infer('never-seen')
    expect(unknown.status).toBe(503)
    expect(JSON.stringify(unknown.json)).toContain('Redis')
    await redis().state.resources.delete('edge')
    await emulator.restore('redis')
    await until(connected)
    // It registers with its next heartbeat.
    await until(async () => (await redis().state.resources.get('edge'))?.url === service.url)
    await until(async () => (await infer('never-seen')).status === 404)
    await services.pop()?.stop()
    await emulator.close()
  })
})

describe('a benchmark job', () => {
  let queue: Queue
  let events: QueueEvents
  const progress: BenchmarkProgress[] = []
  let worker: ReturnType<typeof workerConnection>

  beforeEach(async () => {
    queue = withErrorHandler(new Queue('benchmark.edge', queueOptions(redis().state.redis)), 'test')
    worker = workerConnection(redis().url)
    events = withErrorHandler(new QueueEvents('benchmark.edge', { connection: worker }), 'test')
    await events.waitUntilReady()
    progress.length = 0
    events.on('progress', ({ data }) => progress.push(BenchmarkProgress.parse(data)))
  })
  afterEach(async () => {
    await events.close()
    await queue.close()
    worker.disconnect()
  })

  const add = (options = {}) =>
    queue.add('measure', {
      benchmark: 'b1',
      model: toy.model.id,
      shapesKey: toy.structure.shapesKey,
      resource: 'edge',
      runs: 5,
      options,
    })

  /** An engine with a given profiler, whose files nobody reads. */
  const engineWith = (profile: Engine['profile'], released: string[] = []): Engine => ({
    ...toyEngine([toy]),
    store: {
      open: async (key) => ({
        path: '/model.onnx',
        manifest: { ...key, inputs: [], outputs: [], passThrough: [], onnx: null, weights: [] },
        release: () => released.push('released'),
      }),
    },
    profile,
  })
  /** A job that is measured until it is told to stop. */
  async function addEndless() {
    let began = false
    const engine = engineWith((_request, _onProgress, signal) => {
      began = true
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('killed')))
      })
    })
    await start({}, engine)
    const job = await add()
    await until(async () => began)
    return job
  }
  const measurement = {
    method: 'made up for a test',
    measuredAt: new Date().toISOString(),
    whole: { medianMs: 6, samplesMs: [6], cpuMs: 6 },
    layerMs: [1, 2, 3],
    sessionCreateMs: 1,
    peakRssBytes: 1,
    load: { loadAverage1: 0, requestsServed: 0 },
  }

  it('is measured, reports how far it is, and leaves a profile', async () => {
    const released: string[] = []
    const engine = engineWith(async (request, onProgress) => {
      expect(request).toMatchObject({
        path: '/model.onnx',
        runs: 5,
        options: { threads: 4, optimisation: 'all' },
      })
      onProgress({ fraction: 0.5, step: 'measuring' })
      return measurement
    }, released)
    await start({ SCISSION_SLOWDOWN: '3' }, engine)
    const job = await add({ threads: 4 })
    const id: unknown = await job.waitUntilFinished(events, PATIENCE_MS)
    const profile = await redis().state.profiles.need(String(id))
    expect(profile).toMatchObject({
      id: `${toy.model.id}.${toy.structure.shapesKey}.edge.all-4`,
      resource: 'edge',
      slowdown: 3,
      emulated: true,
      layerMs: [1, 2, 3],
      machine: { onnxruntime: '1.30.0' },
    })
    expect(progress.map((report) => report.step)).toContain('measuring')
    expect(released).toEqual(['released'])
  })

  it('that fails names the reason', async () => {
    const engine = engineWith(() =>
      Promise.reject(new ScissionError('invalidModel', 'node 3: no such operator')),
    )
    await start({}, engine)
    const job = await add()
    await expect(job.waitUntilFinished(events, PATIENCE_MS)).rejects.toThrow('node 3: no such operator')
    expect((await redis().state.profiles.all()).map((profile) => profile.options.threads)).not.toContain(1)
  })

  it('is given up when its benchmark is cancelled', async () => {
    const job = await addEndless()
    await redis().state.redis.set('scission:cancel:b1', '1', 'EX', 60)
    await expect(job.waitUntilFinished(events, PATIENCE_MS)).rejects.toThrow('benchmark b1 was cancelled')
    await redis().state.redis.del('scission:cancel:b1')
  })

  it('ends with its service, saying so', async () => {
    const job = await addEndless()
    await services.pop()?.stop()
    await expect(job.waitUntilFinished(events, PATIENCE_MS)).rejects.toThrow('resource edge is stopping')
  })
})
