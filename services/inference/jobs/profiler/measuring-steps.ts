/** Progress of a measurement: step, fraction of the whole, remaining time. */
import type { BenchmarkProgress } from '../../../../shared/contracts/profile.ts'

/** Rough parts of the whole time that the steps take. */
const WEIGHTS = { load: 0.25, 'warm up': 0.1, profile: 0.15, measure: 0.15, check: 0.35 } as const
export type Step = keyof typeof WEIGHTS

/** Shortest interval between two reports of the same step. */
const MIN_REPORT_INTERVAL_MS = 200

export class Steps {
  readonly #report: (progress: BenchmarkProgress) => void
  readonly #startedAt = performance.now()
  #step: Step = 'load'
  /** Sum of the weights of the previous steps. */
  #before = 0
  #done = 0
  #of = 1
  #reportedAt = Number.NEGATIVE_INFINITY
  /** Largest fraction reported: a step that is begun again does not decrease it. */
  #fraction = 0

  constructor(report: (progress: BenchmarkProgress) => void) {
    this.#report = report
  }

  /** Begins a step. @param of number of its ticks; it may end earlier. */
  begin(step: Step, of: number): void {
    if (step !== this.#step) this.#before += WEIGHTS[this.#step]
    this.#step = step
    this.#done = 0
    this.#of = of
    this.#tell()
  }

  tick(): void {
    this.#done += 1
    if (performance.now() - this.#reportedAt >= MIN_REPORT_INTERVAL_MS) this.#tell()
  }

  finish(): void {
    this.#report({ fraction: 1, step: 'done', remainingMs: 0 })
  }

  #tell(): void {
    const now = performance.now()
    this.#reportedAt = now
    const part = Math.min(1, this.#done / this.#of) * WEIGHTS[this.#step]
    const fraction = Math.max(this.#fraction, Math.min(0.99, this.#before + part))
    this.#fraction = fraction
    const remaining = fraction > 0.1 ? ((now - this.#startedAt) * (1 - fraction)) / fraction : undefined
    this.#report({
      fraction,
      step: this.#step,
      ...(remaining !== undefined && { remainingMs: Math.round(remaining) }),
    })
  }
}
