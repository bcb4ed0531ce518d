/** The whole benchmark service on port 0, over an emulated Redis that can be cut off, with a data folder of its own. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { type BenchmarkService, createBenchmarkService } from '../../services/benchmark/app.ts'
import { type BenchmarkClient, createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { BENCHMARK_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { type Listening, listen } from '../../shared/platform/http-server/listen.ts'
import { createLog } from '../../shared/platform/log.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

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
    return `redis://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
  }

  /** Straight to Redis, past the cut. */
  get directUrl(): string {
    return this.#target.url
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

export class ServiceHarness {
  readonly dataDir: string
  readonly redis: CuttableRedis
  /** On a connection of its own, so that a test can look at Redis while the service is cut off. */
  readonly state: State
  #service: BenchmarkService | undefined
  #listening: Listening | undefined

  private constructor(dataDir: string, redis: CuttableRedis) {
    this.dataDir = dataDir
    this.redis = redis
    this.state = openState(producerConnection(redis.directUrl))
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
    this.#service = await createBenchmarkService(this.#config(env), createLog('test', 'silent'))
    this.#listening = await listen(this.#service.app, 0, '127.0.0.1')
    await expectReady(this.url)
    return this.client
  }

  /** A second service over the same folder and the same Redis, as a replica would be. */
  async replica(): Promise<{ client: BenchmarkClient; close: () => Promise<void> }> {
    const service = await createBenchmarkService(this.#config(), createLog('test', 'silent'))
    const listening = await listen(service.app, 0, '127.0.0.1')
    await expectReady(listening.url)
    return {
      client: createBenchmarkClient(listening.url),
      close: async () => {
        await listening.close()
        await service.close()
      },
    }
  }

  async close(): Promise<void> {
    this.#service?.endStreams()
    await this.#listening?.close()
    await this.#service?.close()
    this.#service = undefined
    this.#listening = undefined
  }

  async stop(): Promise<void> {
    await this.close()
    this.state.redis.disconnect()
    await this.redis.stop()
    await rm(this.dataDir, { recursive: true, force: true })
  }

  #config(env: NodeJS.ProcessEnv = {}) {
    return readConfig(BENCHMARK_SETTINGS, {
      REDIS_URL: this.redis.url,
      SCISSION_REDIS_KIND: 'emulated',
      SCISSION_DATA: this.dataDir,
      ...env,
    })
  }

  get url(): string {
    return this.#listening?.url ?? ''
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

async function expectReady(url: string): Promise<void> {
  while ((await fetch(`${url}/readyz`)).status !== 200)
    await new Promise((resolve) => setTimeout(resolve, 20))
}
