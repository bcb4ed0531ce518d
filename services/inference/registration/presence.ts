/**
 * The presence of a resource in the system, from `start` to `leave`: it is registered with a heartbeat, works on its
 * benchmark queue and keeps its links measured.
 */
import os from 'node:os'
import type { Machine, Resource } from '../../../shared/contracts/resource.ts'
import { memoryBytes } from '../../../shared/platform/memory.ts'
import type { InferenceConfig } from '../../../shared/platform/service/service-config.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { workerConnection } from '../../../shared/platform/redis/connections.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { type JobWorkerDeps, startBenchmarkWorker } from '../jobs/job-worker.ts'
import { type Engine, runtimeOptions } from '../serving/engine.ts'
import { ONNXRUNTIME_VERSION } from '../serving/executor/trial-load.ts'
import type { Links } from '../links/links.ts'
import { waitAtMost } from '../../../shared/platform/deadline.ts'

/** Longest wait for the benchmark worker when the service stops. */
const MAX_CLOSE_MS = 3000

export interface PresenceDeps {
  config: InferenceConfig
  tierIndex: number
  state: State
  engine: Engine
  links: Links
  pace: JobWorkerDeps['pace']
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

  get connected(): boolean {
    return this.#registration?.connected ?? false
  }

  /** @throws ScissionError notReady or queueUnavailable if the service cannot do its work yet, or is stopping. */
  checkReady(): void {
    if (this.#leaving) throw new ScissionError('notReady', 'the service is stopping')
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

  #work(resource: Omit<Resource, 'heartbeatAt'>): void {
    const { config, state, engine, pace, requestsServed, log } = this.#deps
    const { redisUrl, benchmarkUrl } = config
    const connection = workerConnection(redisUrl, log)
    const deps = { ...resource, resource: resource.name, ...engine, connection, state, pace, requestsServed }
    const worker = startBenchmarkWorker({ ...deps, benchmarkUrl, log })
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

/** Environment variables that configure the memory allocator of the C library, as far as they are set. */
const ALLOCATOR = Object.fromEntries(
  Object.entries(process.env).flatMap(([name, value = '']) =>
    /^(MALLOC_.*|LD_PRELOAD|GLIBC_TUNABLES)$/.test(name) ? [[name, value] as const] : [],
  ),
)

/** The machine on which this process runs. */
function describeMachine(): Machine {
  const cpus = os.cpus()
  return {
    cpuModel: cpus[0]?.model.trim() ?? 'unknown',
    cores: Math.max(1, os.availableParallelism()),
    memoryBytes: memoryBytes(),
    platform: os.platform(),
    arch: os.arch(),
    node: process.version,
    onnxruntime: ONNXRUNTIME_VERSION,
    ...(Object.keys(ALLOCATOR).length > 0 && { allocator: ALLOCATOR }),
  }
}

/** Longest wait for heartbeats that are being written when the resource leaves. */
const MAX_LEAVE_WAIT_MS = 1000

/**
 * Registers this resource in Redis, again with every heartbeat, until it leaves. A lost Redis interrupts only the
 * registration: the next heartbeat that succeeds registers the resource again.
 */
export class Registration {
  readonly #state: State
  readonly #resource: Omit<Resource, 'heartbeatAt'>
  readonly #heartbeatMs: number
  readonly #log: Logger
  #timer: NodeJS.Timeout | undefined
  /** Heartbeats that are being written: one that a dying connection delays must not delay the next. */
  readonly #beats = new Set<Promise<void>>()
  #connected = false
  #everRegistered = false
  #left = false

  constructor(state: State, resource: Omit<Resource, 'heartbeatAt'>, heartbeatMs: number, log: Logger) {
    this.#state = state
    this.#resource = resource
    this.#heartbeatMs = heartbeatMs
    this.#log = log
  }

  /** True if the last heartbeat reached Redis and the connection is open. */
  get connected(): boolean {
    return this.#connected && this.#state.redis.status === 'ready'
  }

  /** Sends a heartbeat now, every `heartbeatMs`, and whenever Redis becomes available. */
  start(): void {
    this.#state.redis.on('ready', this.#onReady)
    this.#timer = setInterval(() => this.#beat(), this.#heartbeatMs)
    if (this.#state.redis.status === 'ready') this.#beat()
  }

  /** @throws ScissionError queueUnavailable until the first heartbeat has reached Redis. */
  checkRegistered(): void {
    if (this.#everRegistered) return
    throw new ScissionError('queueUnavailable', 'not registered yet: Redis cannot be reached')
  }

  /** Removes the resource from the registry; without Redis its heartbeat expires. */
  async leave(): Promise<void> {
    this.#left = true
    clearInterval(this.#timer)
    this.#state.redis.off('ready', this.#onReady)
    // A heartbeat that is still being written would register the resource again.
    await waitAtMost(Promise.all(this.#beats), MAX_LEAVE_WAIT_MS, undefined)
    try {
      const { name, url, startedAt } = this.#resource
      // A service of this name that was started meanwhile has taken the place.
      await this.#state.resources.update(name, (current) => {
        const another = current && (current.url !== url || current.startedAt !== startedAt)
        return another ? current : undefined
      })
    } catch (error) {
      this.#log.warn({ err: coerceError(error) }, 'could not leave the registry')
    }
  }

  readonly #onReady = (): void => this.#beat()

  #beat(): void {
    if (this.#left) return
    const resource = { ...this.#resource, heartbeatAt: new Date().toISOString() }
    const beat = this.#state.resources
      .put(resource.name, resource)
      .then(
        () => this.#turned(true),
        (error: unknown) => this.#turned(false, coerceError(error)),
      )
      .finally(() => this.#beats.delete(beat))
    this.#beats.add(beat)
  }

  #turned(connected: boolean, error?: Error): void {
    if (connected && !this.#everRegistered) this.#log.info(`registered as ${this.#resource.name}`)
    else if (connected && !this.#connected) this.#log.info('registered again')
    else if (!connected && this.#connected) this.#log.warn({ err: error }, 'heartbeat did not reach Redis')
    this.#connected = connected
    this.#everRegistered ||= connected
  }
}
