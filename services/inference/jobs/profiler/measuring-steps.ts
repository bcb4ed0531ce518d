/** Progress of a measurement: step, fraction of the whole, remaining time. */
import type { BenchmarkProgress } from '../../../../shared/contracts/profile.ts'

/** In their order, with the rough part of the whole time that each takes. */
const WEIGHTS = {
  load: 0.25,
  'warm up': 0.1,
  profile: 0.15,
  measure: 0.15,
  copies: 0.1,
  check: 0.35,
  codecs: 0.35,
} as const
/** The same of what follows the last step: fitting, and keeping the profile. */
const REST = 0.02
export type Step = keyof typeof WEIGHTS

/** Are made once per service. */
export type OptionalStep = 'copies' | 'codecs'

/** Shortest interval between two reports of the same step. */
const MIN_REPORT_INTERVAL_MS = 200
/** The last report but one: the result is not there yet. */
const MOST = 0.99

export class Steps {
  readonly #report: (progress: BenchmarkProgress) => void
  readonly #startedAt = performance.now()
  /** Those that are still to come. */
  #toCome: Step[]
  #step: Step = 'load'
  #done = 0
  #of = 1
  #reportedAt = Number.NEGATIVE_INFINITY
  /** What was done when the step began, and the part of the whole that it takes. */
  #begunAt = 0
  #span = 0

  /** @param without steps that this measurement does not need. */
  constructor(report: (progress: BenchmarkProgress) => void, without: readonly OptionalStep[] = []) {
    this.#report = report
    const left: readonly string[] = without
    this.#toCome = (Object.keys(WEIGHTS) as Step[]).filter((step) => !left.includes(step))
  }

  /**
   * Begins a step. It shares what is left with those that follow, so that one which is made again goes on as well.
   * @param of number of its ticks; it may end earlier.
   */
  begin(step: Step, of: number): void {
    this.#begunAt = step === this.#step ? this.#fraction() : this.#begunAt + this.#span
    this.#step = step
    this.#done = 0
    this.#of = of
    this.#toCome = this.#toCome.slice(this.#toCome.indexOf(step) + 1)
    const after = this.#toCome.reduce((sum, next) => sum + WEIGHTS[next], REST)
    this.#span = ((1 - this.#begunAt) * WEIGHTS[step]) / (WEIGHTS[step] + after)
    this.#tell()
  }

  tick(): void {
    this.#done += 1
    if (performance.now() - this.#reportedAt >= MIN_REPORT_INTERVAL_MS) this.#tell()
  }

  finish(): void {
    this.#report({ fraction: 1, step: 'done', remainingMs: 0 })
  }

  #fraction(): number {
    return this.#begunAt + Math.min(1, this.#done / this.#of) * this.#span
  }

  #tell(): void {
    const now = performance.now()
    this.#reportedAt = now
    const fraction = Math.min(MOST, this.#fraction())
    const remaining = fraction > 0.1 ? ((now - this.#startedAt) * (1 - fraction)) / fraction : undefined
    this.#report({
      fraction,
      step: this.#step,
      ...(remaining !== undefined && { remainingMs: Math.round(remaining) }),
    })
  }
}
