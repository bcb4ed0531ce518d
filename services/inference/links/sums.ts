/**
 * What the times of messages tell about a link of which something is known. A message of b bytes answered by r shows one
 * number only, the sum
 *
 *   fixed + b · msPerByte + r · msPerByteBack
 *
 * so messages of one size never tell a long round trip from a low bandwidth. What is known of each part, with its doubt, is
 * therefore kept, and the difference to the sum is shared out by doubt: a part that was just measured by itself hardly moves,
 * an old one moves much. The doubts of the parts become opposed (if one is too high, the other is too low), and messages of
 * another size then separate them. This is the update of a Kalman filter (R. Kalman, J. Basic Engineering 82, 1960) without
 * its prediction, with half-widths of 95 % in place of standard deviations. Pure.
 */
import type { Estimate } from './estimate-link.ts'

/** fixed ms, ms per byte there, ms per byte back. */
type Three = readonly [number, number, number]

export interface Part extends Estimate {
  /** True if it was measured before the messages: it may have changed since, so it gives way where both cannot be true. */
  old: boolean
}

/** Messages of one size: how long they took at least, without the peer's work and the cost of a message without a link. */
export interface Sum {
  bytes: number
  returnBytes: number
  ms: Estimate
}

/** Doubts reach twice as far as the difference: one part may be behind all of it, and it is not known which. */
const REACH = 2

export class LinkParts {
  #value: [number, number, number]
  /** Variance and covariance, in half-widths. */
  #doubt: number[][]
  readonly #old: readonly boolean[]
  /** True if a sum could not be true together with what was known. */
  contradicted = false

  constructor(parts: readonly [Part, Part, Part]) {
    const [fixed, there, back] = parts
    this.#value = [fixed.value, there.value, back.value]
    this.#doubt = parts.map((part, row) =>
      parts.map((_, column) => (row === column ? part.halfWidth ** 2 : 0)),
    )
    this.#old = parts.map(({ old }) => old)
  }

  get estimates(): { fixed: Estimate; there: Estimate; back: Estimate } {
    const at = (part: 0 | 1 | 2): Estimate => ({
      value: this.#value[part],
      halfWidth: Math.sqrt(Math.max(0, this.#doubt[part]?.[part] ?? 0)),
    })
    return { fixed: at(0), there: at(1), back: at(2) }
  }

  /** Time in ms of a message of this size. */
  msOf({ bytes, returnBytes }: Pick<Sum, 'bytes' | 'returnBytes'>): number {
    return dot([1, bytes, returnBytes], this.#value)
  }

  learn(sum: Sum): void {
    const size: Three = [1, sum.bytes, sum.returnBytes]
    const off = sum.ms.value - this.msOf(sum)
    let noise = sum.ms.halfWidth ** 2
    const expected = this.#spreadOf(size) + noise
    if (off ** 2 > expected) {
      this.contradicted = true
      noise *= this.#widen(size, off, expected)
    }
    const total = this.#spreadOf(size) + noise
    if (!(total > 0)) return
    const gain = this.#doubt.map((row) => dot(row, size) / total)
    this.#value = this.#value.map((value, part) => value + gain[part]! * off) as [number, number, number]
    const across = this.#doubt.map((row) => dot(row, size))
    this.#doubt = this.#doubt.map((row, i) => row.map((value, j) => value - gain[i]! * across[j]!))
  }

  #spreadOf(size: Three): number {
    return dot(
      size,
      this.#doubt.map((row) => dot(row, size)),
    )
  }

  /**
   * Widens the doubts until the sum is possible: of messages that took longer those of the old parts, which may have changed;
   * if nothing is old, or messages took less than all that was measured says, of all parts and the sum. Pieces that a busy
   * machine reads late show too low a rate, but nothing makes a message arrive before it can.
   * @returns the factor for the variance of the sum.
   */
  #widen(size: Three, off: number, expected: number): number {
    const wanted = (REACH * off) ** 2
    const ofOld = this.#doubt.reduce(
      (total, row, part) => total + (this.#old[part] ? size[part]! ** 2 * row[part]! : 0),
      0,
    )
    if (ofOld > 0 && off > 0) {
      const by = (ofOld + wanted - expected) / ofOld
      // What was known of how the old parts go together is not known any more.
      this.#doubt = this.#doubt.map((row, i) =>
        row.map((value, j) =>
          i === j ? value * (this.#old[i] ? by : 1) : this.#old[i] || this.#old[j] ? 0 : value,
        ),
      )
      return 1
    }
    const by = wanted / expected
    this.#doubt = this.#doubt.map((row) => row.map((value) => value * by))
    return by
  }
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((total, value, at) => total + value * b[at]!, 0)
