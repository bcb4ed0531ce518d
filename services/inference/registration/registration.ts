/**
 * Says in Redis that this resource is here, again with every heartbeat, until it leaves. A lost Redis interrupts
 * nothing but that: the next heartbeat that gets through registers the resource anew.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { State } from '../../../shared/platform/redis/state.ts'

const LEAVE_PATIENCE_MS = 1000

export class Registration {
  readonly #state: State
  readonly #resource: Omit<Resource, 'heartbeatAt'>
  readonly #heartbeatMs: number
  readonly #log: Logger
  #timer: NodeJS.Timeout | undefined
  /** Heartbeats on their way: one that a dying connection holds up must not hold up the next. */
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

  /** The last heartbeat reached Redis, and the connection still stands. */
  get connected(): boolean {
    return this.#connected && this.#state.redis.status === 'ready'
  }

  /** Beats at once, when Redis comes (back), and every `heartbeatMs`. */
  start(): void {
    this.#state.redis.on('ready', this.#onReady)
    this.#timer = setInterval(() => this.#beat(), this.#heartbeatMs)
    if (this.#state.redis.status === 'ready') this.#beat()
  }

  /** @throws ScissionError queueUnavailable until Redis knew of this resource once; after that never again. */
  checkRegistered(): void {
    if (this.#everRegistered) return
    throw new ScissionError('queueUnavailable', 'not registered yet: Redis cannot be reached')
  }

  /** Takes the resource out of the registry; without Redis its heartbeat just runs out. */
  async leave(): Promise<void> {
    this.#left = true
    clearInterval(this.#timer)
    this.#state.redis.off('ready', this.#onReady)
    // Those under way would register the resource again.
    await Promise.race([Promise.all(this.#beats), sleep(LEAVE_PATIENCE_MS, undefined, { ref: false })])
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
