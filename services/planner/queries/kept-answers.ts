/**
 * Answers kept for as long as what they were made from stays: whoever asks the same again pays for a look-up. Two that
 * ask the same at one time wait for one answer.
 */
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'

/** Answers that a question stands for; `size` counts its plans. */
interface Entry<T> {
  stamp: string
  answer: Promise<T>
  size: number
}

export interface KeptAnswersOptions<T> {
  /** Says of which state of the world an answer holds. Equal texts: nothing that any answer depends on has changed. */
  stamp: () => string
  /** What an answer takes of `most`; undefined: it is not kept. */
  sizeOf: (answer: T) => number | undefined
  /** @defaultValue 2000, of the largest size: some 6 MB of plans. */
  most?: number
}

/** A plan takes about as much: a very long question counts for what it takes itself. */
const CHARACTERS_PER_PLAN = 2000

/** A question without an answer counts as one plan: its error is an answer too. */
const SIZE_OF_ERROR = 1

export class KeptAnswers<T> {
  readonly #options: KeptAnswersOptions<T>
  readonly #most: number
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry<T>>()
  #size = 0

  constructor(options: KeptAnswersOptions<T>) {
    this.#options = options
    this.#most = options.most ?? 2000
  }

  /** Of all that is kept; never above the limit. */
  get size(): number {
    return this.#size
  }

  /** The answer kept under the key, if it still holds; else what `make` comes to. @throws what `make` throws. */
  async get(key: string, make: () => Promise<T>): Promise<T> {
    const stamp = this.#options.stamp()
    const known = this.#entries.get(key)
    if (known?.stamp === stamp) {
      // Last in, last out.
      this.#entries.delete(key)
      this.#entries.set(key, known)
      return await known.answer
    }
    const entry = { stamp, answer: make(), size: 0 }
    this.#forget(key)
    this.#entries.set(key, entry)
    const size = await entry.answer.then(this.#options.sizeOf, sizeOfError)
    // The world went on while it was made: it may be of either state.
    if (this.#entries.get(key) === entry)
      this.#settle(key, entry, stamp === this.#options.stamp() ? size : undefined)
    return await entry.answer
  }

  #settle(key: string, entry: Entry<T>, plans = Infinity): void {
    const size = plans + Math.floor(key.length / CHARACTERS_PER_PLAN)
    if (size > this.#most) return this.#forget(key)
    entry.size = size
    this.#size += size
    for (const oldest of this.#entries.keys()) {
      if (this.#size <= this.#most) break
      this.#forget(oldest)
    }
  }

  #forget(key: string): void {
    this.#size -= this.#entries.get(key)?.size ?? 0
    this.#entries.delete(key)
  }
}

/** That no plan satisfies the constraints is known until something changes; other failures may pass by themselves. */
function sizeOfError(thrown: unknown): number | undefined {
  const error = coerceError(thrown)
  return error instanceof ScissionError && error.code === 'infeasible' ? SIZE_OF_ERROR : undefined
}
