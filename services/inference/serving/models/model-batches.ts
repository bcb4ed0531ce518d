/** How many items a request to a whole model may hold: that is announced, and allowed, once it was tried on the loaded model. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Model, Structure } from '../../../../shared/contracts/model.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { whyNoBatches } from '../batching/batchable.ts'
import type { BatchVerdict } from '../batching/stage-batches.ts'
import { keyOf } from './layer-range.ts'
import type { Stages } from './stages.ts'

/** ms for which the description of a model waits until batches were tried; then it shows none. */
const CHECK_PATIENCE_MS = 10_000

export class ModelBatches {
  readonly #stages: Pick<Stages, 'loaded'>
  readonly #maxBatch: number
  readonly #batchable = new WeakMap<Structure, boolean>()

  /** @param maxBatch maximum number of items of one run; 1 means no batches. */
  constructor(stages: Pick<Stages, 'loaded'>, maxBatch: number) {
    this.#stages = stages
    this.#maxBatch = maxBatch
  }

  /** True if a request could hold several items by the shapes of the model. Whether it may is tried once it is loaded. */
  mayBatch(model: Model, structure: Structure): boolean {
    if (this.#maxBatch === 1) return false
    const known = this.#batchable.get(structure) ?? whyNoBatches(model, structure) === undefined
    this.#batchable.set(structure, known)
    return known
  }

  /** Number of items that a request may hold; 1 unless the model is loaded and batches of it were tried. */
  largest(model: Model, structure: Structure): number {
    if (!this.mayBatch(model, structure)) return 1
    return this.#stages.loaded(keyOf(model, structure, undefined))?.largestBatch ?? 1
  }

  /** Tries batches of a loaded model. A try that takes longer than a client waits continues. */
  async check(model: Model, structure: Structure): Promise<void> {
    const stage = this.#stages.loaded(keyOf(model, structure, undefined))
    if (!stage || !this.mayBatch(model, structure)) return
    const late = new AbortController()
    await Promise.race([stage.checkBatches(), sleep(CHECK_PATIENCE_MS, undefined, late)])
    late.abort()
  }
}

/** @param asked the client's name of the model. @throws ScissionError invalidTensor for more items than were found to work. */
export function refuseTooMany(asked: string, count: number, { largest, why }: BatchVerdict): void {
  if (count <= largest) return
  const reason = why === undefined ? '' : `; ${why}`
  throw new ScissionError(
    'invalidTensor',
    `inference request batch-size must be <= ${largest} for '${asked}', got ${count}${reason}`,
    { batch: count, maxBatch: largest },
  )
}
