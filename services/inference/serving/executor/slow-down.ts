/**
 * Emulates a slower machine: after a run with c ms of CPU time the thread sleeps (factor − 1) × c ms, so that both together
 * take as long as the run on a machine that is `factor` times slower. While it sleeps, the CPU is free for the other emulated
 * machines.
 */

/** A sleep is too long by 0.1 to 0.3 ms, which the next one corrects. A larger error has another cause and is ignored. */
const MAX_CORRECTION_MS = 1

export class SlowDown {
  readonly #factor: number
  readonly #never = new Int32Array(new SharedArrayBuffer(4))
  #overshotMs = 0

  constructor(factor: number) {
    this.#factor = factor
  }

  /** Blocks this thread. Each sleep corrects the error of the one before, so that the sum is right. @returns ms waited */
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
    this.#overshotMs = Math.min(waited - wanted, MAX_CORRECTION_MS)
    return waited
  }
}
