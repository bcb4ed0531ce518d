/**
 * A resource's presence among the others, from `start` to `leave`: registered with a heartbeat, working its benchmark
 * queue, keeping its links measured.
 */
import type { InferenceConfig } from '../../../shared/platform/service/service-config.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { workerConnection } from '../../../shared/platform/redis/connections.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { startBenchmarkWorker } from '../jobs/job-worker.ts'
import { type Engine, runtimeOptions } from '../serving/engine.ts'
import type { Links } from '../links/links.ts'
import { describeMachine } from './machine.ts'
import { Registration } from './registration.ts'
import { waitAtMost } from '../../../shared/platform/deadline.ts'

const CLOSE_MS = 3000

export interface PresenceParts {
  config: InferenceConfig
  tierIndex: number
  state: State
  engine: Engine
  links: Links
  requestsServed: () => number
  log: Logger
}

export class Presence {
  readonly #parts: PresenceParts
  #registration: Registration | undefined
  #stopWork: (() => Promise<void>) | undefined
  #leaving: Promise<void> | undefined

  constructor(parts: PresenceParts) {
    this.#parts = parts
  }

  /** @param url where clients and peers reach this service. */
  start(url: string): void {
    const { config, state, links, log } = this.#parts
    const resource = describeResource(this.#parts, url)
    this.#registration = new Registration(state, resource, config.heartbeatMs, log)
    this.#registration.start()
    links.start()
    this.#work(resource)
  }

  /** Requests are taken. */
  get accepting(): boolean {
    return this.#leaving === undefined
  }

  get connected(): boolean {
    return this.#registration?.connected ?? false
  }

  /** @throws ScissionError why the service cannot do its work (yet, or any more). */
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
    this.#parts.links.close()
    await this.#registration?.leave()
    await this.#stopWork?.()
  }

  #work({ name, machine, options, slowdown }: Omit<Resource, 'heartbeatAt'>): void {
    const { config, state, engine, requestsServed, log } = this.#parts
    const connection = workerConnection(config.redisUrl, log)
    const { store, profile } = engine
    const { benchmarkUrl } = config
    const facts = { resource: name, machine, options, slowdown, benchmarkUrl }
    const worker = startBenchmarkWorker({ ...facts, connection, state, store, profile, requestsServed, log })
    this.#stopWork = async () => {
      // BullMQ waits for a lost Redis to come back; a service that stops does not.
      await waitAtMost(worker.close(), CLOSE_MS, undefined)
      connection.disconnect()
    }
  }
}

function describeResource({ config, tierIndex }: PresenceParts, url: string): Omit<Resource, 'heartbeatAt'> {
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
