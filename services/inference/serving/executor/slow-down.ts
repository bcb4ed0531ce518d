/**
 * Emulates a slower machine: after a run of c ms of CPU time the thread sleeps (factor − 1) × c ms, so that the
 * whole takes what it would take on a machine `factor` times as slow. Sleeping leaves the CPU to the other
 * emulated machines on this one.
 */

/** A sleep overshoots by 0.1 to 0.3 ms; an overshoot beyond this was something else and is not made up for. */
const LARGEST_CORRECTION_MS = 1

export class SlowDown {
  readonly #factor: number
  readonly #never = new Int32Array(new SharedArrayBuffer(4))
  #overshotMs = 0

  constructor(factor: number) {
    this.#factor = factor
  }

  /** Blocks this thread. Shortens a sleep by what the one before overshot, so that the sum is right. @returns ms waited */
  wait(cpuMs: number): number {
    if (this.#factor <= 1) return 0
    const wanted = (this.#factor - 1) * cpuMs - this.#overshotMs
    if (wanted <= 0) {
      this.#overshotMs = -wanted
      return 0
    }
    const before = performance.now()
    Atomics.wait(this.#never, 0, 0, wanted)
    const waited = performance.now() - before
    this.#overshotMs = Math.min(waited - wanted, LARGEST_CORRECTION_MS)
    return waited
  }
}
