/** The whole benchmark service on port 0, over an emulated Redis that can be cut off, with a data folder of its own. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { type BenchmarkClient, createBenchmarkClient } from '../../shared/client/benchmark.ts'
import type { State } from '../../shared/platform/redis/state.ts'
import { startTestRedis, type TestRedis, throughPort } from '../support/redis.ts'
import { startBenchmark, type StartedBenchmark } from '../support/services.ts'
import { startedOnce } from '../support/started.ts'

/** A way to Redis that can be cut and restored, as a lost and found network would. */
export class CuttableRedis {
  readonly #target: TestRedis
  readonly #sockets = new Set<net.Socket>()
  readonly #server: net.Server
  #cut = false

  private constructor(target: TestRedis, server: net.Server) {
    this.#target = target
    this.#server = server
  }

  static async start(): Promise<CuttableRedis> {
    const target = await startTestRedis()
    const server = net.createServer()
    const redis = new CuttableRedis(target, server)
    server.on('connection', (socket) => redis.#relay(socket))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return redis
  }

  get url(): string {
    const address = this.#server.address()
    return throughPort(this.#target.url, typeof address === 'object' && address ? address.port : 0)
  }

  /** Straight to Redis, past the cut. */
  get directUrl(): string {
    return this.#target.url
  }

  /** Its documents, past the cut. */
  get state(): State {
    return this.#target.state
  }

  cut(): void {
    this.#cut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  restore(): void {
    this.#cut = false
  }

  async stop(): Promise<void> {
    this.cut()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
    await this.#target.close()
  }

  #relay(socket: net.Socket): void {
    if (this.#cut) {
      socket.destroy()
      return
    }
    const { hostname, port } = new URL(this.#target.url)
    const upstream = net.connect(Number(port), hostname)
    for (const [own, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      this.#sockets.add(own)
      own.on('error', () => undefined)
      own.once('close', () => {
        this.#sockets.delete(own)
        other.destroy()
      })
      own.pipe(other)
    }
  }
}

/** One for all tests of the file or group in which it is called. @param env settings by their environment names. */
export const withBenchmarkService = (env?: NodeJS.ProcessEnv): (() => ServiceHarness) =>
  startedOnce(
    () => ServiceHarness.start(env),
    (harness) => harness.stop(),
  )

export class ServiceHarness {
  readonly dataDir: string
  readonly redis: CuttableRedis
  /** On a connection of its own, so that a test can look at Redis while the service is cut off. */
  readonly state: State
  #service: StartedBenchmark | undefined

  private constructor(dataDir: string, redis: CuttableRedis) {
    this.dataDir = dataDir
    this.redis = redis
    this.state = redis.state
  }

  static async start(env: NodeJS.ProcessEnv = {}): Promise<ServiceHarness> {
    const dataDir = await mkdtemp(path.join(os.tmpdir(), 'scission-benchmark-'))
    const harness = new ServiceHarness(dataDir, await CuttableRedis.start())
    await harness.open(env)
    return harness
  }

  /** Starts the service, again if it runs: with the same folder and the same Redis. */
  async open(env: NodeJS.ProcessEnv = {}): Promise<BenchmarkClient> {
    await this.close()
    this.#service = await startBenchmark({ ...this.#settings(), ...env })
    return this.client
  }

  /** A second service over the same folder and the same Redis, as a replica would be. */
  replica(): Promise<StartedBenchmark> {
    return startBenchmark(this.#settings())
  }

  async close(): Promise<void> {
    await this.#service?.close()
    this.#service = undefined
  }

  async stop(): Promise<void> {
    await this.close()
    await this.redis.stop()
    await rm(this.dataDir, { recursive: true, force: true })
  }

  #settings(): NodeJS.ProcessEnv {
    return {
      REDIS_URL: this.redis.url,
      SCISSION_REDIS_KIND: 'emulated',
      SCISSION_DATA: this.dataDir,
    }
  }

  get url(): string {
    return this.#service?.url ?? ''
  }

  get client(): BenchmarkClient {
    return createBenchmarkClient(this.url)
  }

  /** Names in `models/` and `incoming/`: what an upload has left on disk. */
  async onDisk(): Promise<{ models: string[]; incoming: string[] }> {
    const [models, incoming] = await Promise.all(
      ['models', 'incoming'].map((folder) => readdir(path.join(this.dataDir, folder))),
    )
    return { models: models ?? [], incoming: incoming ?? [] }
  }
}
