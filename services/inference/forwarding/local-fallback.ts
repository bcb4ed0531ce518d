/**
 * The local fallback: the rest of a model from the end of this resource's own stage, kept loaded for the case that no peer
 * takes the next hop. It is loaded in the background after the deployment is ready, if it fits into memory. If loading
 * fails, the next failure of the next hop tries again.
 */
import { coerceError } from '../../../shared/platform/errors.ts'
import { type HeldStage, holdStage, type StageDeps } from '../serving/models/stages.ts'
import type { RangeKey } from '../ranges/stored-range.ts'
import type { WeightBudget } from './weight-budget.ts'

export interface LocalFallbackDeps {
  stageDeps: StageDeps
  weightBytes: (range: RangeKey) => Promise<number>
  budget: WeightBudget
}

export class LocalFallback {
  readonly key: RangeKey
  readonly #deps: LocalFallbackDeps
  #loading: Promise<HeldStage> | undefined
  /** Aborted when it is released, which also stops the loading. */
  readonly #released = new AbortController()

  constructor(deps: LocalFallbackDeps, key: RangeKey) {
    this.#deps = deps
    this.key = key
  }

  /** Loads the stage, or returns the loaded one. @throws ScissionError with the reason why it cannot be loaded here. */
  stage(): Promise<HeldStage> {
    this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = undefined
      throw error
    })
    return this.#loading
  }

  /** Loads the stage in advance. A failure is only logged. */
  prepare(): void {
    this.stage().catch((error: unknown) => {
      if (this.#released.signal.aborted) return
      const { from, to } = this.key
      this.#deps.stageDeps.log.info(
        { err: coerceError(error) },
        `layers ${from}-${to} are not held ready as a fallback`,
      )
    })
  }

  release(): void {
    this.#released.abort()
    this.#loading?.then(
      (stage) => stage.release(),
      // Loading failed or was stopped, so there is nothing to release.
      () => undefined,
    )
  }

  async #load(): Promise<HeldStage> {
    const { stageDeps, weightBytes, budget } = this.#deps
    const bytes = await weightBytes(this.key)
    const giveBack = budget.reserve(this.key, bytes)
    try {
      const stage = await holdStage(stageDeps, this.key, this.#released.signal)
      stage.onReleased(giveBack)
      if (this.#released.signal.aborted) stage.release()
      return stage
    } catch (error) {
      giveBack()
      throw error
    }
  }
}
