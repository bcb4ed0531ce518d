/**
 * The presence of a resource in the system, from `start` to `leave`: it is registered with a heartbeat, works on its
 * benchmark queue and keeps its links measured.
 */
import os from 'node:os'
import { createRequire } from 'node:module'
import { z } from 'zod'
import type { Machine, Resource } from '../../../shared/contracts/resource.ts'
import type { InferenceConfig } from '../../../shared/platform/service/service-config.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { workerConnection } from '../../../shared/platform/redis/connections.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { startBenchmarkWorker } from '../jobs/job-worker.ts'
import { type Engine, runtimeOptions } from '../serving/engine.ts'
import type { Links } from '../links/links.ts'
import { Registration } from './registration.ts'
import { waitAtMost } from '../../../shared/platform/deadline.ts'

/** Longest wait for the benchmark worker when the service stops. */
const MAX_CLOSE_MS = 3000

export interface PresenceDeps {
  config: InferenceConfig
  tierIndex: number
  state: State
  engine: Engine
  links: Links
  requestsServed: () => number
  log: Logger
}

export class Presence {
  readonly #deps: PresenceDeps
  #registration: Registration | undefined
  #stopWork: (() => Promise<void>) | undefined
  #leaving: Promise<void> | undefined

  constructor(deps: PresenceDeps) {
    this.#deps = deps
  }

  /** @param url address at which clients and peers reach this service. */
  start(url: string): void {
    const { config, state, links, log } = this.#deps
    const resource = describeResource(this.#deps, url)
    this.#registration = new Registration(state, resource, config.heartbeatMs, log)
    this.#registration.start()
    links.start()
    this.#work(resource)
  }

  /** True until the service begins to stop. */
  get accepting(): boolean {
    return this.#leaving === undefined
  }

  get connected(): boolean {
    return this.#registration?.connected ?? false
  }

  /** @throws ScissionError notReady or queueUnavailable if the service cannot do its work yet, or is stopping. */
  checkReady(): void {
    if (!this.accepting) throw new ScissionError('notReady', 'the service is stopping')
    if (!this.#registration) throw new ScissionError('notReady', 'the service is starting')
    this.#registration.checkRegistered()
  }

  leave(): Promise<void> {
    this.#leaving ??= this.#leave()
    return this.#leaving
  }

  async #leave(): Promise<void> {
    this.#deps.links.close()
    await this.#registration?.leave()
    await this.#stopWork?.()
  }

  #work({ name, machine, options, slowdown }: Omit<Resource, 'heartbeatAt'>): void {
    const { config, state, engine, requestsServed, log } = this.#deps
    const connection = workerConnection(config.redisUrl, log)
    const { store, profile } = engine
    const { benchmarkUrl } = config
    const facts = { resource: name, machine, options, slowdown, benchmarkUrl }
    const worker = startBenchmarkWorker({ ...facts, connection, state, store, profile, requestsServed, log })
    this.#stopWork = async () => {
      // BullMQ waits until a lost Redis comes back; a service that stops must not.
      await waitAtMost(worker.close(), MAX_CLOSE_MS, undefined)
      connection.disconnect()
    }
  }
}

function describeResource({ config, tierIndex }: PresenceDeps, url: string): Omit<Resource, 'heartbeatAt'> {
  return {
    name: config.resource,
    tier: config.tier,
    tierIndex,
    url,
    machine: describeMachine(),
    options: runtimeOptions(config),
    slowdown: config.slowdown,
    emulated: config.slowdown > 1,
    startedAt: new Date().toISOString(),
  }
}

const Package = z.object({ version: z.string() })

/** Environment variables that configure the memory allocator of the C library, as far as they are set. */
const ALLOCATOR = Object.fromEntries(
  Object.entries(process.env).flatMap(([name, value = '']) =>
    /^(MALLOC_.*|LD_PRELOAD|GLIBC_TUNABLES)$/.test(name) ? [[name, value] as const] : [],
  ),
)

/** The machine on which this process runs. */
function describeMachine(): Machine {
  const cpus = os.cpus()
  // From its package file: loading the runtime itself would cost this thread time and memory.
  const runtime = Package.parse(createRequire(import.meta.url)('onnxruntime-node/package.json'))
  return {
    cpuModel: cpus[0]?.model.trim() ?? 'unknown',
    cores: Math.max(1, os.availableParallelism()),
    memoryBytes: os.totalmem(),
    platform: os.platform(),
    arch: os.arch(),
    node: process.version,
    onnxruntime: runtime.version,
    ...(Object.keys(ALLOCATOR).length > 0 && { allocator: ALLOCATOR }),
  }
}
