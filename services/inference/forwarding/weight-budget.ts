/** Limits the weights of the stages that this resource holds beside what its deployments need: of fallbacks, of verifications. */
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { RangeKey } from '../ranges/stored-range.ts'

export class WeightBudget {
  readonly #limitBytes: number
  readonly #purpose: string
  #reserved = 0

  /** @param purpose in errors: "all fallbacks". */
  constructor(limitBytes: number, purpose: string) {
    this.#limitBytes = limitBytes
    this.#purpose = purpose
  }

  /**
   * @param bytes of the weights of `range`.
   * @returns a function that gives them back, to be called once. @throws ScissionError notReady if they do not fit.
   */
  reserve({ from, to }: Pick<RangeKey, 'from' | 'to'>, bytes: number): () => void {
    if (this.#reserved + bytes > this.#limitBytes) {
      throw new ScissionError(
        'notReady',
        `layers ${from}-${to} do not fit here: ${bytes} bytes of weights, ` +
          `SCISSION_STAGE_BYTES=${this.#limitBytes} is for ${this.#purpose}`,
      )
    }
    this.#reserved += bytes
    return () => (this.#reserved -= bytes)
  }
}
