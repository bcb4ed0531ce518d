/**
 * The place of this resource in the registry. A name belongs to one service at a time: the one that wrote the last
 * heartbeat, until that is too old (`withLiveness`). All of it is told by Redis' clock.
 *
 *   claiming ──the name is free, or its service is gone──▶ registered ──leave──▶ left
 *      │                                                     │    ▲
 *      └── another one has it: refused, the start fails      ▼    │ the other one is gone
 *                                                         superseded: another one has it now
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isAlive, type Resource } from '../../../shared/contracts/resource.ts'
import { waitAtMost } from '../../../shared/platform/deadline.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { refusalOfConnection } from '../../../shared/platform/redis/refused-password.ts'
import { refusalOf } from '../../../shared/platform/redis/writable.ts'
import { whetherItRuns } from './predecessor.ts'

/** What is registered; the times are added here. */
export type Registered = Omit<Resource, 'heartbeatAt' | 'startedAt'>

export interface RegistrationDeps {
  state: State
  resource: Registered
  heartbeatMs: number
  log: Logger
  /** Called when the name becomes this service's, and when it is another's from then on. */
  onOwner?: (own: boolean) => void
}

/** Longest wait for heartbeats that are being written when the resource leaves. */
const MAX_LEAVE_WAIT_MS = 1000

/**
 * Registers this resource in Redis, again with every heartbeat, until it leaves. A lost Redis interrupts only the
 * registration: the next heartbeat that succeeds registers the resource again.
 */
export class Registration {
  readonly #deps: RegistrationDeps
  #startedAt = ''
  #timer: NodeJS.Timeout | undefined
  /** Heartbeats that are being written: one that a dying connection delays must not delay the next. */
  readonly #beats = new Set<Promise<void>>()
  #connected = false
  /** Why Redis refused the last heartbeat, if it did. */
  #refusal: string | undefined
  #everRegistered = false
  #left = false
  /** Why it is not registered, if another service has the name. */
  #taken: ScissionError | undefined
  #claiming = false
  readonly #begun: Promise<void>
  #begin: () => void = () => undefined
  #refuse: (why: ScissionError) => void = () => undefined

  constructor(deps: RegistrationDeps) {
    this.#deps = deps
    this.#begun = new Promise((resolve, reject) => {
      this.#begin = resolve
      this.#refuse = reject
    })
  }

  /** True if the last heartbeat reached Redis and the connection is open. */
  get connected(): boolean {
    return this.#connected && this.#deps.state.redis.status === 'ready'
  }

  /** Why Redis takes no heartbeat, if it says so: it is full, or read-only, or refuses the password. */
  get refusal(): string | undefined {
    return this.connected ? undefined : (refusalOfConnection(this.#deps.state.redis) ?? this.#refusal)
  }

  /** True from the first registration on, but for the time in which another one has the name; also of one that leaves. */
  get isOwner(): boolean {
    return this.#everRegistered && this.#taken === undefined
  }

  /**
   * Claims the name and sends heartbeats every `heartbeatMs`, and whenever Redis becomes available.
   * @returns resolves when it is registered. @throws ScissionError conflict if another service that runs has the name.
   */
  start(): Promise<void> {
    const { redis } = this.#deps.state
    redis.on('ready', this.#onReady)
    this.#timer = setInterval(() => this.beat(), this.#deps.heartbeatMs)
    if (redis.status === 'ready') this.beat()
    return this.#begun
  }

  /** @throws ScissionError queueUnavailable until the first heartbeat has reached Redis; conflict while another has the name. */
  checkRegistered(): void {
    if (this.#taken) throw this.#taken
    if (this.#everRegistered) return
    const reason = this.refusal ?? 'Redis cannot be reached'
    throw new ScissionError('queueUnavailable', `not registered yet: ${reason}`)
  }

  /** Removes the resource from the registry; without Redis its heartbeat expires. */
  async leave(): Promise<void> {
    this.#left = true
    clearInterval(this.#timer)
    this.#deps.state.redis.off('ready', this.#onReady)
    // A heartbeat that is still being written would register the resource again.
    await waitAtMost(Promise.all(this.#beats), MAX_LEAVE_WAIT_MS, undefined)
    try {
      // A service of this name that was started meanwhile has taken the place.
      await this.#deps.state.resources.update(this.#name, (current) =>
        this.#isOwn(current) ? undefined : current,
      )
    } catch (error) {
      this.#deps.log.warn({ err: coerceError(error) }, 'could not leave the registry')
    }
  }

  get #name(): string {
    return this.#deps.resource.name
  }

  #isOwn(current: Resource | undefined): boolean {
    return current !== undefined && current.instance === this.#deps.resource.instance
  }

  readonly #onReady = (): void => this.beat()

  /** Sends a heartbeat, or tries to claim the name. */
  beat(): void {
    if (this.#left) return
    if (!this.#everRegistered) {
      if (this.#claiming) return
      this.#claiming = true
      this.#follow(this.#tryToClaim().finally(() => (this.#claiming = false)))
    } else this.#follow(this.#write().then((stored) => this.#turned(stored)))
  }

  #follow(writing: Promise<void>): void {
    const beat = writing
      .catch((error: unknown) => this.#interrupted(coerceError(error)))
      .finally(() => this.#beats.delete(beat))
    this.#beats.add(beat)
  }

  /**
   * Writes a heartbeat, in one step that looks at what is there, unless another service has the name.
   * @param gone the instance that may be replaced although its heartbeat has not expired.
   * @returns what is there now.
   */
  async #write(gone?: Resource): Promise<Resource | undefined> {
    const { state, resource, heartbeatMs } = this.#deps
    const now = await state.clock.read()
    const heartbeatAt = new Date(now).toISOString()
    this.#startedAt ||= heartbeatAt
    const mine: Resource = { ...resource, startedAt: this.#startedAt, heartbeatAt }
    return state.resources.update(this.#name, (current) => {
      if (current === undefined || this.#isOwn(current) || !isAlive(current, heartbeatMs, now)) return mine
      return gone !== undefined && current.instance === gone.instance && current.url === gone.url
        ? mine
        : current
    })
  }

  /** Ends without a result if another service has the name: the next heartbeat tries again. */
  async #tryToClaim(): Promise<void> {
    let stored = await this.#write()
    const first = stored
    while (stored && !this.#isOwn(stored)) {
      if (this.#left) return
      const verdict = await whetherItRuns(stored, this.#deps.resource)
      // A heartbeat since this began, or another service that came first: it runs.
      if (verdict === 'runs' || stored.heartbeatAt !== first?.heartbeatAt) return this.#refused(stored)
      if (verdict === 'unknown') await sleep(this.#deps.heartbeatMs / 4)
      stored = await this.#write(verdict === 'gone' ? stored : undefined)
    }
    this.#turned(stored)
  }

  #refused(other: Resource): void {
    this.#taken = this.#conflict(other)
    this.#refuse(this.#taken)
  }

  #conflict(other: Resource): ScissionError {
    const { name, url } = this.#deps.resource
    return new ScissionError(
      'conflict',
      `two services are called "${name}": this one at ${url}, and one at ${other.url} that runs since ` +
        `${other.startedAt}. Each machine needs a name of its own: start this one with another SCISSION_RESOURCE, or ` +
        'stop the other one',
      { resource: name, url, other: other.url },
    )
  }

  #turned(stored: Resource | undefined): void {
    const { log, onOwner } = this.#deps
    if (stored && !this.#isOwn(stored)) {
      if (this.#taken) return
      // It was silent for too long, or its heartbeat was lost with Redis, and another one came.
      this.#taken = this.#conflict(stored)
      log.error(this.#taken.message)
      onOwner?.(false)
      return
    }
    if (!this.#everRegistered) log.info(`registered as ${this.#name}`)
    else if (this.#taken || !this.#connected) log.info('registered again')
    const isNew = this.#taken !== undefined || !this.#everRegistered
    this.#taken = undefined
    this.#connected = true
    this.#everRegistered = true
    if (isNew) onOwner?.(true)
    this.#begin()
  }

  #interrupted(error: Error): void {
    this.#refusal = refusalOf(error)
    if (this.#connected) this.#deps.log.warn({ err: error }, this.#refusal ?? 'heartbeat did not reach Redis')
    this.#connected = false
  }
}
