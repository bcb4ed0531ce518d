/**
 * The calls of one peer that wait for their answers, of all deployments. One that waits behind others is not lost: the peer
 * answers those meanwhile, or runs one that is known to take long.
 */
export class PeerCalls {
  readonly #now: () => number
  readonly #waiting = new Set<{ usualMs: number }>()
  #answeredAt = Number.NEGATIVE_INFINITY

  /** @param now ms of a monotonic clock. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Records any answer of the peer, also a refusal. */
  answered(): void {
    this.#answeredAt = this.#now()
  }

  /** True if the peer answered anything since then. @param time of `now`. */
  answeredSince(time: number): boolean {
    return this.#answeredAt >= time
  }

  /** @param ms that the peer may be silent. @returns how many of them are left; 0 if its last answer is longer ago. */
  leftOf(ms: number): number {
    return Math.max(0, this.#answeredAt + ms - this.#now())
  }

  /** ms that the longest of the waiting calls usually takes. */
  longestMs(): number {
    let longest = 0
    for (const { usualMs } of this.#waiting)
      if (Number.isFinite(usualMs)) longest = Math.max(longest, usualMs)
    return longest
  }

  /** @param usualMs what its answer takes. @returns ends it. */
  begin(usualMs: number): () => void {
    const call = { usualMs }
    this.#waiting.add(call)
    return () => this.#waiting.delete(call)
  }
}
