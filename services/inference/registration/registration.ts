/**
 * Registers this resource in Redis, again with every heartbeat, until it leaves. A lost Redis interrupts only the
 * registration: the next heartbeat that succeeds registers the resource again.
 */
import type { Resource } from '../../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { waitAtMost } from '../../../shared/platform/deadline.ts'

/** Longest wait for heartbeats that are being written when the resource leaves. */
const MAX_LEAVE_WAIT_MS = 1000

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
