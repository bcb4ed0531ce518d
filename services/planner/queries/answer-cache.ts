/**
 * Keeps answers until something that they depend on changes. A repeated question costs one look-up, and two clients
 * that ask the same question at the same time wait for one computation.
 */
import { LRUCache } from 'lru-cache'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'

interface Entry<T> {
  stamp: string
  answer: Promise<T>
}

export interface AnswerCacheOptions<T> {
  /** Identifies the state that answers are computed from. Equal stamps mean that no answer has become outdated. */
  stamp: () => string
  /** The share of `maxSize` that an answer takes, in plans. Undefined: the answer is not kept. */
  sizeOf: (answer: T) => number | undefined
  /** @defaultValue 2000 plans, which take about 6 MB at their largest. */
  maxSize?: number
}

/** One plan takes about as much memory as a question of this length. */
const CHARACTERS_PER_PLAN = 2000

/** An `infeasible` error is an answer too and counts as one plan. */
const ERROR_SIZE = 1

export class AnswerCache<T> {
  readonly #options: AnswerCacheOptions<T>
  /** Answers that are complete. Its size is a sum over plans; an entry larger than the whole is not kept. */
  readonly #complete: LRUCache<string, Entry<T>>
  /** Answers that are being computed now, which every client that asks for them waits for. */
  readonly #pending = new Map<string, Entry<T>>()

  constructor(options: AnswerCacheOptions<T>) {
    this.#options = options
    this.#complete = new LRUCache({ maxSize: options.maxSize ?? 2000 })
  }

  /** Plans held now; never above `maxSize`. */
  get size(): number {
    return this.#complete.calculatedSize
  }

  /**
   * @returns the answer kept under `key` if its stamp is still current, else the result of `compute`.
   * @throws what `compute` throws.
   */
  async get(key: string, compute: () => Promise<T>): Promise<T> {
    const stamp = this.#options.stamp()
    const known = this.#pending.get(key) ?? this.#complete.get(key)
    if (known?.stamp === stamp) return await known.answer
    this.#complete.delete(key)
    const entry = { stamp, answer: compute() }
    this.#pending.set(key, entry)
    const plans = await entry.answer.then(this.#options.sizeOf, sizeOfError)
    // A later question with another stamp may have replaced this entry meanwhile.
    if (this.#pending.get(key) === entry) {
      this.#pending.delete(key)
      // If the state changed during the computation, the answer may belong to either state: it is not kept.
      if (plans !== undefined && stamp === this.#options.stamp())
        this.#complete.set(key, entry, {
          size: Math.max(1, plans + Math.floor(key.length / CHARACTERS_PER_PLAN)),
        })
    }
    return await entry.answer
  }
}

/** That no plan satisfies the constraints stays true until something changes; other failures may be temporary. */
function sizeOfError(thrown: unknown): number | undefined {
  const error = coerceError(thrown)
  return error instanceof ScissionError && error.code === 'infeasible' ? ERROR_SIZE : undefined
}
