/**
 * Conditions that this process notices: each is written to Redis when it begins and removed when it ends, and nothing is written
 * in between. Several processes may notice the same: the one whose write comes first logs and counts it.
 *
 * While Redis is away a condition is logged here, and written once Redis is back if it still holds. A Redis that comes back
 * empty is told again what holds.
 */
import {
  CONDITION_KINDS,
  type Condition,
  conditionId,
  type ConditionKind,
} from '../../contracts/condition.ts'
import { waitAtMost } from '../deadline.ts'
import { coerceError, ScissionError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { State } from './state.ts'

/** Longest wait for writes when the service stops. */
const MAX_CLOSE_MS = 1000

/** What is noticed. */
export interface Noticed extends Pick<Condition, 'kind' | 'message' | 'resource' | 'deployment'> {
  /** Tells it from others of its kind. */
  about: readonly (string | number)[]
}

export interface ConditionsDeps {
  state: Pick<State, 'conditions' | 'redis'>
  /** This resource, or `planner`. */
  by: string
  /** False while another service has that name: then nothing is written or removed. Absent = always. */
  isOwner?: () => boolean
  log: Logger
}

export class Conditions {
  readonly #deps: ConditionsDeps
  /** Those that hold, as this process knows. */
  readonly #held = new Map<string, Condition>()
  /** Why those ended that are still to be removed from Redis. */
  readonly #ended = new Map<string, string>()
  /** Ids that are being written. */
  readonly #writing = new Map<string, Promise<void>>()
  /** Ids that could not be written, and were logged. */
  readonly #unwritten = new Set<string>()
  readonly #began = new Map<ConditionKind, number>(CONDITION_KINDS.map((kind) => [kind, 0]))

  constructor(deps: ConditionsDeps) {
    this.#deps = deps
    deps.state.redis.on('ready', () => this.#writeAgain())
  }

  /** Notices a condition. Nothing happens if it is known here. @returns its id. */
  begin({ about, ...noticed }: Noticed): string {
    const id = conditionId(noticed.kind, about)
    if (this.#held.has(id)) return id
    const since = new Date().toISOString()
    this.#held.set(id, { ...noticed, id, by: this.#deps.by, since })
    this.#ended.delete(id)
    this.#write(id)
    return id
  }

  /** Ends a condition that began here or, as anybody may see it, elsewhere. @param why for the log. */
  end(id: string, why: string): void {
    this.#held.delete(id)
    this.#ended.set(id, why)
    this.#write(id)
  }

  /** Ends those that this process noticed and that are chosen. */
  endThose(choose: (condition: Condition) => boolean, why: string): void {
    for (const [id, condition] of this.#held) if (choose(condition)) this.end(id, why)
  }

  has(id: string): boolean {
    return this.#held.has(id)
  }

  /**
   * The name is this process' now: ends what an earlier one of this name left behind, and writes what holds, once Redis can
   * be reached.
   */
  start(): void {
    const { redis } = this.#deps.state
    const forget = (): void => {
      this.#writeAgain()
      this.#forgetEarlier().catch((thrown: unknown) => {
        this.#deps.log.debug({ err: coerceError(thrown) }, 'earlier conditions are not forgotten yet')
        redis.once('ready', forget)
      })
    }
    if (redis.status === 'ready') forget()
    else redis.once('ready', forget)
  }

  async #forgetEarlier(): Promise<void> {
    const { state, by } = this.#deps
    for (const { id, by: other } of await state.conditions.all())
      if (other === by && !this.#held.has(id)) this.end(id, `${by} started anew`)
  }

  /** Writes those that hold back to a Redis that has lost them. @returns how many were missing. */
  async restore(): Promise<number> {
    let count = 0
    for (const [id, condition] of this.#written())
      if (await this.#deps.state.conditions.add(id, condition)) count += 1
    return count
  }

  /** Those that are on record, unless Redis has lost them. */
  #written(): [string, Condition][] {
    if (this.#deps.isOwner?.() === false) return []
    return [...this.#held].filter(([id]) => !this.#unwritten.has(id) && !this.#writing.has(id))
  }

  /** Number of those that this process noticed and that hold, by kind. */
  active(kind: ConditionKind): number {
    let count = 0
    for (const condition of this.#held.values()) if (condition.kind === kind) count += 1
    return count
  }

  /** Number of those that this process was the first to notice. */
  began(kind: ConditionKind): number {
    return this.#began.get(kind) ?? 0
  }

  /** Ends all and waits until they are written, as far as Redis can be reached. */
  async close(): Promise<void> {
    this.endThose(() => true, `${this.#deps.by} stops`)
    await waitAtMost(Promise.all(this.#writing.values()), MAX_CLOSE_MS, undefined)
  }

  /** Writes of one id follow each other, and each brings Redis to what holds then. */
  #write(id: string): void {
    if (this.#writing.has(id)) return
    const write = async () => {
      let condition: Condition | undefined
      do {
        condition = this.#held.get(id)
        try {
          await this.#bring(id, condition)
          this.#unwritten.delete(id)
        } catch (thrown) {
          this.#failed(id, condition, coerceError(thrown))
        }
      } while (this.#held.get(id) !== condition)
      this.#writing.delete(id)
    }
    this.#writing.set(id, write())
  }

  async #bring(id: string, condition: Condition | undefined): Promise<void> {
    const { state, isOwner } = this.#deps
    const { conditions } = state
    if (isOwner?.() === false)
      throw new ScissionError('conflict', `another service is called ${this.#deps.by}: it tells what holds`)
    if (condition) {
      if (await conditions.add(id, condition)) this.#logBegun(condition)
      return
    }
    const taken = await conditions.take(id)
    const why = this.#ended.get(id)
    this.#ended.delete(id)
    if (taken) this.#deps.log.info({ condition: id }, `no longer: ${taken.document?.message ?? id} (${why})`)
  }

  #logBegun(condition: Condition): void {
    this.#began.set(condition.kind, this.began(condition.kind) + 1)
    if (this.#unwritten.has(condition.id)) return
    this.#deps.log.warn({ condition: condition.id }, condition.message)
  }

  #failed(id: string, condition: Condition | undefined, err: Error): void {
    const { log } = this.#deps
    if (condition && !this.#unwritten.has(id)) log.warn({ err, condition: id }, condition.message)
    else log.debug({ err, condition: id }, 'a condition is not written to Redis yet')
    this.#unwritten.add(id)
  }

  #writeAgain(): void {
    for (const [id, condition] of this.#written()) {
      this.#deps.state.conditions.add(id, condition).catch((thrown: unknown) => {
        this.#failed(id, condition, coerceError(thrown))
      })
    }
    for (const id of this.#unwritten) this.#write(id)
  }
}
