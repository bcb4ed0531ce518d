/**
 * Runs actions at given times, more precisely than setTimeout: it waits whole milliseconds by a timer and the rest by
 * spinning through the event loop.
 *
 * On an idle event loop a precise action runs 0–0.1 ms after its time, others 0–1.2 ms after it. Due times are absolute, ms
 * of `performance.now()`, so delays do not add up. Spinning is limited to a fifth of the time: under load, precise actions
 * become like the others instead of taking a core from the services.
 */

interface Item {
  dueMs: number
  precise: boolean
  run: () => void
}

/** Items that are due within this many ms run now. */
const EARLY_MS = 0.02
/** Share of the time that may be spent spinning, and how many ms of it can be saved up. */
const SPIN_SHARE = 0.2
const SPIN_SAVED_MS = 25

export class Schedule {
  /** The earliest item first; items of equal times in the order of their arrival. */
  readonly #items: Item[] = []
  #timer: NodeJS.Timeout | undefined
  #timerDueMs = Number.POSITIVE_INFINITY
  #immediate: NodeJS.Immediate | undefined
  #spinSavedMs = SPIN_SAVED_MS
  #spinCountedAt = performance.now()
  #spinningSince: number | undefined
  #closed = false

  /** @param precise spin for the last fraction of a millisecond, because a reader waits for exactly this action. */
  at(dueMs: number, run: () => void, precise = false): void {
    if (this.#closed) return
    // From the end: a lane's deliveries come in order, so few items are due later.
    const before = this.#items.findLastIndex((item) => item.dueMs <= dueMs)
    this.#items.splice(before + 1, 0, { dueMs, precise, run })
    this.#arm()
  }

  /** Drops all items. */
  close(): void {
    this.#closed = true
    this.#items.length = 0
    this.#disarm()
  }

  #arm(): void {
    const next = this.#items[0]
    if (next === undefined || this.#immediate !== undefined) return
    const now = performance.now()
    const aheadMs = next.dueMs - now
    const spin = aheadMs > EARLY_MS && aheadMs < 1 && next.precise && this.#maySpin(now)
    if (aheadMs <= EARLY_MS || spin) {
      if (spin) this.#spinningSince = now
      this.#immediate = setImmediate(() => this.#wake())
      return
    }
    if (this.#timerDueMs <= next.dueMs) return
    clearTimeout(this.#timer)
    this.#timerDueMs = next.dueMs
    // Timers fire late: for a precise item the timer is set to the whole millisecond before its time.
    this.#timer = setTimeout(
      () => this.#wake(),
      Math.max(1, next.precise ? Math.floor(aheadMs) : Math.ceil(aheadMs)),
    )
  }

  #disarm(): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
    this.#timer = undefined
    this.#immediate = undefined
    this.#timerDueMs = Number.POSITIVE_INFINITY
  }

  #wake(): void {
    this.#disarm()
    if (this.#spinningSince !== undefined) this.#spinSavedMs -= performance.now() - this.#spinningSince
    this.#spinningSince = undefined
    for (;;) {
      const next = this.#items[0]
      if (next === undefined || next.dueMs > performance.now() + EARLY_MS) break
      this.#items.shift()
      next.run()
    }
    this.#arm()
  }

  #maySpin(now: number): boolean {
    const earned = (now - this.#spinCountedAt) * SPIN_SHARE
    this.#spinSavedMs = Math.min(SPIN_SAVED_MS, this.#spinSavedMs + earned)
    this.#spinCountedAt = now
    return this.#spinSavedMs > 0
  }
}
