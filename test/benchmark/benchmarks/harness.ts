/**
 * The benchmark routes over an emulated Redis, with stand-ins for the inference services: workers of their queues that
 * do as the test says. No model is read here: the structure is a made-up one.
 */
import { once } from 'node:events'
import { type Job, Worker } from 'bullmq'
import { afterEach, beforeEach, expect } from 'vitest'
import { type Benchmarks, openBenchmarks } from '../../../services/benchmark/benchmarks/open-benchmarks.ts'
import { watchedParts } from '../../../services/benchmark/benchmarks/watched-parts.ts'
import { JobWatch } from '../../../services/benchmark/job-watch.ts'
import { benchmarkRoutes } from '../../../services/benchmark/benchmarks/benchmark-routes.ts'
import { type BenchmarkClient, createBenchmarkClient } from '../../../shared/client/benchmark.ts'
import type { Benchmark } from '../../../shared/contracts/profile.ts'
import { Holdings } from '../../../shared/platform/access/holdings.ts'
import { createApp } from '../../../shared/platform/http-server/app.ts'
import { type Listening, listen } from '../../../shared/platform/http-server/listen.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { producerConnection, workerConnection } from '../../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../../shared/platform/redis/state.ts'
import { exampleModel, exampleResource, exampleStructure, MODEL_ID } from '../../support/fixtures.ts'
import { withTestRedis } from '../../support/redis.ts'
import { startedOnce } from '../../support/started.ts'
import { cancelKey, resourceQueue, workerOptions } from '../../../shared/platform/redis/queues.ts'

const log = createLog('test', 'silent')

type Work = (job: Job) => Promise<unknown>

export class BenchmarkHarness {
  readonly #redisUrl: () => string
  readonly #state: () => State
  #benchmarks: Benchmarks | undefined
  #watch: JobWatch | undefined
  #listening: Listening | undefined
  #workers: Worker[] = []

  constructor(redisUrl: () => string, state: () => State) {
    this.#redisUrl = redisUrl
    this.#state = state
  }

  /** An empty Redis with one model, an emulated device and a cloud, and the service before it. */
  async open(benchmarkTimeoutMs?: number, heartbeatMs?: number): Promise<void> {
    await this.close()
    await this.state.redis.flushall()
    await this.state.models.put(MODEL_ID, exampleModel())
    await this.state.resources.put('device', exampleResource('device', { emulated: true, slowdown: 8 }))
    await this.state.resources.put('cloud', exampleResource('cloud'))
    await this.#serve(0, benchmarkTimeoutMs, heartbeatMs)
  }

  /** Ends the service as a clean shutdown does and starts it again at its address; Redis and the resources go on. */
  async restart(): Promise<void> {
    const port = Number(new URL(this.url).port)
    this.endStreams()
    await this.#listening?.close()
    this.#watch?.close()
    await this.#benchmarks?.close()
    await this.#serve(port)
  }

  async #serve(port: number, benchmarkTimeoutMs = 60_000, heartbeatMs = 60_000): Promise<void> {
    const config = {
      redisUrl: this.#redisUrl(),
      redisKind: 'emulated' as const,
      heartbeatMs,
      maxClientStreams: 256,
    }
    this.#benchmarks = openBenchmarks({ ...config, benchmarkTimeoutMs }, this.state, log)
    const { deps, events } = this.#benchmarks
    this.#watch = new JobWatch(deps, [() => watchedParts(deps.queues)], log)
    const analyses = { structure: () => Promise.resolve(exampleStructure()) }
    const app = createApp({
      name: 'benchmark',
      log,
      routes: benchmarkRoutes(deps, { analyses, holdings: new Holdings(this.state, {}) }, events),
      facts: () => ({}),
      ready: () => Promise.resolve(),
    })
    this.#listening = await listen(app, port, '127.0.0.1')
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.close(true)))
    this.#workers = []
    await this.#listening?.close()
    this.#watch?.close()
    await this.#benchmarks?.close()
    this.#listening = undefined
    this.#benchmarks = undefined
  }

  get url(): string {
    return this.#listening?.url ?? ''
  }

  get client(): BenchmarkClient {
    return createBenchmarkClient(this.url)
  }

  get redisUrl(): string {
    return this.#redisUrl()
  }

  /** Over the service's own connection. */
  get state(): State {
    return this.#state()
  }

  /** Streams of events that are being fed. */
  get followers(): number {
    return this.#benchmarks?.events.followers ?? 0
  }

  endStreams(): void {
    this.#benchmarks?.events.endStreams()
  }

  /** Stands for an inference service: works its own queue as told. */
  resource(name: string, work: Work): void {
    const connection = workerConnection(this.#redisUrl())
    // The emulated Redis may wake a worker that was closed a moment ago in place of this one, which then looks by itself.
    const worker = new Worker(resourceQueue(name), work, { ...workerOptions(connection), drainDelay: 0.5 })
    worker.on('error', () => undefined)
    worker.on('closed', () => connection.disconnect())
    this.#workers.push(worker)
  }

  succeeding(name: string): void {
    this.resource(name, async (job) => {
      await job.updateProgress({ fraction: 0.5, step: 'profiling', remainingMs: 10 })
      return `profile-of-${name}`
    })
  }

  /** Works until cancelled, as an inference service does. */
  endless(name: string): void {
    this.resource(name, async (job) => {
      const { benchmark } = job.data as { benchmark: string }
      await job.updateProgress({ fraction: 0.1, step: 'warming up' })
      while ((await this.state.redis.exists(cancelKey(benchmark))) === 0)
        await new Promise((resolve) => setTimeout(resolve, 20))
      throw new Error('cancelled on request')
    })
  }

  /** Waits for the end of a benchmark. */
  async ended(id: string): Promise<Benchmark> {
    await expect
      .poll(async () => (await this.client.benchmark(id)).state, { interval: 30 })
      .not.toMatch(/waiting|active/)
    return this.client.benchmark(id)
  }
}

/**
 * For all tests of the file or group in which it is called: Redis is empty and the service open before each of them.
 * @param redis one that other hooks start.
 */
export function withBenchmarks(redis: () => { url: string } = withTestRedis()): BenchmarkHarness {
  const state = startedOnce(
    async () => {
      const opened = openState(producerConnection(redis().url, log))
      await once(opened.redis, 'ready')
      return opened
    },
    async (opened) => opened.redis.disconnect(),
  )
  const harness = new BenchmarkHarness(() => redis().url, state)
  beforeEach(() => harness.open())
  afterEach(() => harness.close())
  return harness
}

export const partsOf = (benchmark: Benchmark) =>
  Object.fromEntries(benchmark.parts.map((part) => [part.resource, part.state]))
