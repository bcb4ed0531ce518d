/**
 * Tells how long this process stood still because its group had used up its quota of CPU time. A process that waits for the
 * network has a timer that is never late; while it is stopped nothing of it runs. (The control group itself counts the time
 * of all its cores together.)
 */
import { throttling } from '../../../shared/platform/cgroup.ts'

/** Since some moment; neither ever falls. */
export interface Stops {
  readonly count: number
  /** ms of the clock. */
  readonly stoppedMs: number
}

const TICK_MS = 5
/** A timer is late by less where the process only has something else to do. */
const MIN_STOP_MS = 10

export class StopClock implements Stops {
  readonly #timer: NodeJS.Timeout | undefined
  #tickedAt = performance.now()
  #stoppedMs = 0
  /** Stops that `stoppedMs` holds, and those before it began. */
  #counted: number

  /** Without a quota it does nothing. */
  constructor() {
    const before = throttling()
    this.#counted = before?.stops ?? 0
    this.#timer = before && setInterval(() => this.#tick(), TICK_MS)
  }

  get count(): number {
    return this.#timer === undefined ? 0 : (throttling()?.stops ?? 0)
  }

  get stoppedMs(): number {
    return this.#stoppedMs + this.#sinceTickMs()
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #tick(): void {
    const stoppedMs = this.#sinceTickMs()
    this.#tickedAt = performance.now()
    if (stoppedMs === 0) return
    this.#stoppedMs += stoppedMs
    this.#counted = this.count
  }

  /** Of the time since the last tick. */
  #sinceTickMs(): number {
    if (this.#timer === undefined) return 0
    const lateMs = performance.now() - this.#tickedAt - TICK_MS
    return lateMs >= MIN_STOP_MS && this.count > this.#counted ? lateMs : 0
  }
}
