/**
 * Loads a layer range in three steps: fetch its files (RangeStore), try it in a child process (trial-load.ts), load it where
 * it will run (Executor, stage-place.ts).
 *
 * Each `acquire` needs one `release`. As long as a caller has the stage, its files stay on disk; the last release frees the
 * sessions first, then the files. Simultaneous callers share the work, which is cancelled only after all of them left.
 */
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { keyText, type RangeKey } from '../../ranges/stored-range.ts'
import type { OpenRange, RangeStore } from '../../ranges/range-store.ts'
import type { Executor, LoadedStage } from './executor.ts'
import { placeOf } from './stage-place.ts'
import { trial } from './trial-load.ts'
import type { Logger } from '../../../../shared/platform/log.ts'
import { waitWithin } from '../../../../shared/platform/deadline.ts'

export interface StageLoaderDeps {
  store: Pick<RangeStore, 'open'>
  executor: Pick<Executor, 'load' | 'unload'>
  options: RuntimeOptions
  trialTimeoutMs: number
  trialMemoryBytes: number
  log?: Logger
}

interface Loading {
  stage: Promise<LoadedStage>
  range: OpenRange | undefined
  /** Number of callers that have the stage or wait for it. */
  holders: number
  stop: AbortController
}

export class StageLoader {
  readonly #deps: StageLoaderDeps
  readonly #loadings = new Map<string, Loading>()
  readonly #held = new WeakMap<LoadedStage, Loading>()

  constructor(deps: StageLoaderDeps) {
    this.#deps = deps
  }

  /**
   * Fetches, tries and loads a layer range, or shares the loaded one.
   * @throws ScissionError as RangeStore.open does; invalidModel if the trial failed; cancelled if `signal` was aborted
   * first.
   */
  async acquire(key: RangeKey, signal?: AbortSignal): Promise<LoadedStage> {
    if (signal?.aborted) throw gone(key)
    const name = keyText(key)
    const loading = this.#loadings.get(name) ?? this.#start(name, key)
    loading.holders += 1
    try {
      return await waitWithin(loading.stage, { signal }, () => gone(key))
    } catch (error) {
      this.#leave(name, loading)
      throw error
    }
  }

  /** Undoes one `acquire`. The last one unloads the stage, after the runs queued before it. */
  async release(stage: LoadedStage): Promise<void> {
    const loading = this.#held.get(stage)
    if (loading === undefined || loading.holders === 0) return
    loading.holders -= 1
    if (loading.holders > 0) return
    this.#forget(loading)
    await this.#free(stage, loading)
  }

  #start(name: string, key: RangeKey): Loading {
    const loading: Loading = {
      stage: Promise.resolve().then(() => this.#load(name, key, loading)),
      range: undefined,
      holders: 0,
      stop: new AbortController(),
    }
    this.#loadings.set(name, loading)
    return loading
  }

  async #load(name: string, key: RangeKey, loading: Loading): Promise<LoadedStage> {
    const { store, executor, options, trialTimeoutMs, trialMemoryBytes, log } = this.#deps
    const { signal } = loading.stop
    try {
      const range = await store.open(key, signal)
      loading.range = range
      const { path, manifest } = range
      const limits = { timeoutMs: trialTimeoutMs, memoryBytes: trialMemoryBytes }
      const tried =
        path === null ? undefined : await trial({ path, manifest, options, ...limits, log }, signal)
      const place = placeOf(manifest, tried)
      if (tried?.runaway !== undefined) log?.info(`${name} runs in processes of its own: ${tried.runaway}`)
      const stage = await executor.load(`${name}.${options.optimisation}-${options.threads}`, {
        path,
        manifest,
        options,
        place,
      })
      this.#held.set(stage, loading)
      return stage
    } catch (error) {
      this.#forget(loading)
      loading.range?.release()
      throw error
    }
  }

  /** A caller failed or left. The last one cancels the work, or undoes it if it is complete. */
  #leave(name: string, loading: Loading): void {
    loading.holders -= 1
    if (loading.holders > 0 || this.#loadings.get(name) !== loading) return
    this.#forget(loading)
    loading.stop.abort()
    loading.stage.then(
      (stage) => this.#free(stage, loading),
      () => {}, // Stopped, as it should be: #load has cleaned up after itself.
    )
  }

  async #free(stage: LoadedStage, loading: Loading): Promise<void> {
    try {
      await this.#deps.executor.unload(stage)
    } finally {
      loading.range?.release()
    }
  }

  #forget(loading: Loading): void {
    for (const [name, known] of this.#loadings) if (known === loading) this.#loadings.delete(name)
  }
}

const gone = (key: RangeKey) =>
  new ScissionError('cancelled', `loading ${keyText(key)}: nobody waits for it any more`)
