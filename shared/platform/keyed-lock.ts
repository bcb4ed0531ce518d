/**
 * A lock per key, within this process: work under the same key runs one piece after another, in the order in which it
 * was asked for; work under different keys runs at the same time. Between processes see redis/lock.ts.
 */
import { waitWithin } from './deadline.ts'

export class KeyedLock {
  /** By key: settles once everything asked for so far has ended. No key without work. */
  readonly #tails = new Map<string, Promise<void>>()

  /**
   * Runs `work` once all earlier work under the key has ended, however it ended.
   * @param signal ends the waiting, not the work.
   * @throws the signal's reason when it is aborted before the work begins; what `work` throws otherwise.
   */
  async run<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    const before = this.#tails.get(key)
    let end = () => {}
    const ended = new Promise<void>((resolve) => (end = resolve))
    // Also behind what ran before: a caller that gives up waiting must not let the next one in early.
    const tail = before ? before.then(() => ended) : ended
    this.#tails.set(key, tail)
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    })
    try {
      if (before) await waitWithin(before, { signal }, () => signal?.reason)
      return await work()
    } finally {
      end()
    }
  }
}
