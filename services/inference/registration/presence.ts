/**
 * The presence of a resource in the system, from `start` to `leave`: it is registered with a heartbeat, and while its name is
 * its own it works on its benchmark queue and keeps its links measured.
 */
import { randomUUID } from 'node:crypto'
import os from 'node:os'
import type { Credentials } from '../../../shared/platform/credentials.ts'
import type { Machine } from '../../../shared/contracts/resource.ts'
import { memoryBytes } from '../../../shared/platform/usable-memory.ts'
import type { InferenceConfig } from '../../../shared/platform/service/service-config.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { workerConnection } from '../../../shared/platform/redis/connections.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { type JobWorkerDeps, startBenchmarkWorker } from '../jobs/job-worker.ts'
import { type Engine, runtimeOptions } from '../serving/engine.ts'
import { ONNXRUNTIME_VERSION } from '../serving/executor/trial-load.ts'
import { longestPossibleMessage } from '../forwarding/message-limit.ts'
import type { Links } from '../links/links.ts'
import { waitAtMost } from '../../../shared/platform/deadline.ts'
import { watchOwnAddress } from './own-address.ts'
import type { Conditions } from '../../../shared/platform/redis/conditions.ts'
import { HOST } from '../../../shared/platform/processes/process-identity.ts'
import { type Registered, Registration } from './registration.ts'

/** Longest wait for the benchmark worker when the service stops. */
const MAX_CLOSE_MS = 3000

export interface PresenceDeps {
  config: InferenceConfig
  credentials?: Credentials
  tierIndex: number
  state: State
  engine: Engine
  links: Links
  conditions: Pick<Conditions, 'start'>
  pace: JobWorkerDeps['pace']
  requestsServed: () => number
  log: Logger
}

export interface OwnUrls {
  url: string
  /** Absent if it has one door for all. */
  internalUrl?: string | undefined
}

export class Presence {
  /** Tells this run of the service from every other one. */
  readonly instance = randomUUID()
  readonly #deps: PresenceDeps
  #registration: Registration | undefined
  #stopWork: (() => Promise<void>) | undefined
  #leaving: Promise<void> | undefined
  readonly #stopping = new AbortController()

  constructor(deps: PresenceDeps) {
    this.#deps = deps
  }

  /**
   * @param urls addresses at which clients, and other services, reach this service.
   * @returns resolves when it is registered: at the latest when Redis is there. @throws ScissionError conflict if another
   *   service that runs has the name.
   */
  start(urls: OwnUrls): Promise<void> {
    const { config, state, links, conditions, log } = this.#deps
    if (config.publicUrl !== '')
      void watchOwnAddress({ url: config.publicUrl, instance: this.instance, log }, this.#stopping.signal)
    const resource = describeResource(this.#deps, urls, this.instance)
    const onOwner = (own: boolean) => {
      if (own) {
        links.start()
        conditions.start()
        this.#work(resource)
      } else {
        // The jobs of the queue, and what was measured from this machine, are the other one's now.
        links.stop()
        this.#endWork()
      }
    }
    this.#registration = new Registration({
      state,
      resource,
      heartbeatMs: config.heartbeatMs,
      log,
      onOwner,
    })
    return this.#registration.start()
  }

  get isOwner(): boolean {
    return this.#registration?.isOwner ?? false
  }

  /** Why Redis takes no heartbeat, if it says so. */
  get redisRefusal(): string | undefined {
    return this.#registration?.refusal
  }

  /** What does not work without Redis, while it is lost. */
  get redisWarning(): string | undefined {
    if (this.connected) return undefined
    const why = this.redisRefusal ?? 'Redis cannot be reached'
    return `${why}: what is loaded is served; the other services take this machine for lost, and it measures nothing`
  }

  get connected(): boolean {
    return this.#registration?.connected ?? false
  }

  /** @throws ScissionError notReady or queueUnavailable if the service cannot do its work yet, or now, or is stopping. */
  checkReady(): void {
    if (this.#leaving) throw new ScissionError('notReady', 'the service is stopping')
    if (!this.#registration) throw new ScissionError('notReady', 'the service is starting')
    this.#registration.checkRegistered()
    const heldUpMs = this.#deps.engine.executor.heldUpMs()
    if (heldUpMs > 0)
      throw new ScissionError(
        'notReady',
        `no executor answers since ${Math.round(heldUpMs / 1000)} s: each is held up by a run that takes longer than its request ` +
          'waited; it is ready again when one of them ends',
        { heldUpMs },
      )
  }

  /** Registers without waiting for the next heartbeat, in a Redis that has lost the record. */
  registerAgain(): void {
    this.#registration?.beat()
  }

  leave(): Promise<void> {
    this.#leaving ??= this.#leave()
    return this.#leaving
  }

  async #leave(): Promise<void> {
    this.#stopping.abort()
    this.#deps.links.close()
    await this.#registration?.leave()
    await this.#stopWork?.()
  }

  #endWork(): void {
    const stop = this.#stopWork
    this.#stopWork = undefined
    void stop?.()
  }

  #work(resource: Registered): void {
    const { config, state, engine, pace, requestsServed, log } = this.#deps
    const { benchmarkUrl } = config
    const connection = workerConnection(config, log)
    const deps = { ...resource, resource: resource.name, ...engine, connection, state, pace, requestsServed }
    const worker = startBenchmarkWorker({ ...deps, benchmarkUrl, log })
    this.#stopWork = async () => {
      // BullMQ waits until a lost Redis comes back; a service that stops must not.
      await waitAtMost(worker.close(), MAX_CLOSE_MS, undefined)
      connection.disconnect()
    }
  }
}

function describeResource(
  { config, tierIndex }: PresenceDeps,
  { url, internalUrl }: OwnUrls,
  instance: string,
): Registered {
  return {
    name: config.resource,
    tier: config.tier,
    tierIndex,
    url,
    ...(internalUrl !== undefined && { internalUrl }),
    machine: describeMachine(),
    options: runtimeOptions(config),
    slowdown: config.slowdown,
    emulated: config.slowdown > 1,
    instance,
    host: HOST,
    limits: {
      messageBytes: longestPossibleMessage(config),
      stageBytes: config.trialMemoryBytes,
      hopTimeoutMs: config.hopTimeoutMs,
    },
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
