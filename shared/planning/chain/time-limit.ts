/** When a search has to stop. */

/** Every look at the clock costs: one in so many calls is enough. */
const CALLS_PER_LOOK = 64

export class TimeLimit {
  readonly #end: number
  readonly #now: () => number
  #calls = 0
  #over = false

  /** @param ms undefined: no limit. @param now milliseconds. */
  constructor(ms: number | undefined, now: () => number) {
    this.#now = now
    this.#end = ms === undefined ? Infinity : now() + ms
  }

  /** Looks at the clock. */
  isOver(): boolean {
    if (this.#end === Infinity) return false
    this.#over ||= this.#now() >= this.#end
    return this.#over
  }

  /** Looks at the clock now and then: for inner loops. */
  isOverSoon(): boolean {
    if (this.#end === Infinity) return false
    this.#calls += 1
    return this.#calls % CALLS_PER_LOOK === 0 ? this.isOver() : this.#over
  }
}
