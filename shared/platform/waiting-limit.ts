/** Limits how many callers wait for something at the same time: each of them keeps its tensors in memory. */
import { ScissionError } from './errors.ts'

export class WaitingLimit {
  readonly #most: number
  readonly #what: string
  #waiting = 0

  /** @param what they wait for, in the error: "analyses of their shapes". */
  constructor(most: number, what: string) {
    this.#most = most
    this.#what = what
  }

  /** Does the work, unless too many wait. @throws ScissionError overloaded; what `work` throws. */
  async within<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= this.#most)
      throw new ScissionError(
        'overloaded',
        `${this.#waiting} requests wait for ${this.#what} already, which is the limit; retry in a moment`,
        { waiting: this.#waiting, limit: this.#most },
      )
    this.#waiting += 1
    try {
      return await work()
    } finally {
      this.#waiting -= 1
    }
  }
}
