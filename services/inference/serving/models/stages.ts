/**
 * Layer ranges that this service keeps loaded, because a request, the repository API or a deployment needs them. Simultaneous
 * callers share the loading. Releasing a stage waits for its running requests.
 */
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'
import type { Logger } from '../../../../shared/platform/log.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { Executor, LoadedStage, RunOptions, RunResult } from '../executor/executor.ts'
import type { Batching } from '../batching/batching.ts'
import type { BatchVerdict } from '../batching/stage-batches.ts'
import type { ShapeGuard } from '../executor/shape-guard.ts'
import type { StageLoader } from '../executor/stage-loader.ts'
import { keyText, type RangeKey } from '../../ranges/stored-range.ts'

export interface StageDeps {
  loader: Pick<StageLoader, 'acquire' | 'release'>
  executor: Pick<Executor, 'run'>
  /** Set if a stage may run several items at once. */
  batches?: Pick<Batching, 'largestBatch' | 'checkBatches'> | undefined
  /** Asked before every run. */
  guard?: Pick<ShapeGuard, 'admit'> | undefined
  log: Logger
  /** Called after every successful run of a single item. */
  onRun?: ((key: RangeKey, run: RunResult) => void) | undefined
}

/** A loaded stage that may be run until `release`. */
export class HeldStage {
  readonly key: RangeKey
  readonly #deps: StageDeps
  readonly #stage: LoadedStage
  #running = 0
  #released = false
  #afterwards: (() => void) | undefined
  #onIdle: (() => void) | undefined

  constructor(deps: StageDeps, key: RangeKey, stage: LoadedStage) {
    this.#deps = deps
    this.key = key
    this.#stage = stage
  }

  /** True if the stage must not be run any more. */
  get released(): boolean {
    return this.#released
  }

  get idle(): boolean {
    return this.#running === 0
  }

  /** The tensors of boundary `from`. */
  get takes(): readonly TensorSpec[] {
    return this.#stage.manifest.inputs
  }

  /** Number of items that were found to be computed together as one by one; 1 if that was not tried, or failed. */
  get largestBatch(): number {
    return this.#deps.batches?.largestBatch(this.#stage) ?? 1
  }

  /** Tries runs of several items, unless that is done. Never rejects. */
  async checkBatches(): Promise<BatchVerdict> {
    return (await this.#deps.batches?.checkBatches(this.#stage)) ?? { largest: 1, why: undefined }
  }

  /**
   * Runs the stage. @param inputs the tensors of boundary `from`; the executor takes over their buffers.
   * @throws ScissionError notReady after `release`; otherwise as Executor.run.
   */
  async run(inputs: readonly Tensor[], options: RunOptions): Promise<RunResult> {
    if (this.#released) throw justUnloaded(this.#stage.key)
    this.#running += 1
    try {
      await this.#deps.guard?.admit(this.#stage, inputs, options)
      const result = await this.#deps.executor.run(this.#stage, inputs, options)
      if (!result.batch) this.#deps.onRun?.(this.key, result)
      return result
    } finally {
      this.#running -= 1
      if (this.#running === 0 && this.#released) this.#free()
      else if (this.#running === 0) this.#onIdle?.()
    }
  }

  /** Frees the stage after its running requests. Calling it again does nothing. */
  release(): void {
    if (this.#released) return
    this.#released = true
    if (this.#running === 0) this.#free()
  }

  /** @param then is called whenever the last run has ended, until `release`. */
  onIdle(then: () => void): void {
    this.#onIdle = then
  }

  /** @param then is called once, when the stage is freed. */
  onReleased(then: () => void): void {
    this.#afterwards = then
  }

  #free(): void {
    this.#afterwards?.()
    this.#deps.loader.release(this.#stage).catch((error: unknown) => {
      this.#deps.log.error({ err: coerceError(error) }, `could not unload ${this.#stage.key}`)
    })
  }
}

const justUnloaded = (name: string) =>
  new ScissionError('notReady', `${name} was just unloaded; send the request again`)

/** Loads a range for as long as it is held. @throws ScissionError with the reason if loading fails; cancelled. */
export async function holdStage(deps: StageDeps, key: RangeKey, signal?: AbortSignal): Promise<HeldStage> {
  return new HeldStage(deps, key, await deps.loader.acquire(key, signal))
}

export type StageState = 'LOADING' | 'READY'

interface Entry {
  key: RangeKey
  bytes: number
  state: StageState
  stage: Promise<HeldStage>
  /** Set after loading. */
  held: HeldStage | undefined
  /** Stops the loading. Aborted if it is unloaded on request, and not to make room: those who wait for it are refused. */
  stop: AbortController
}

/**
 * Keeps stages loaded after their use, until what they hold in memory together exceeds a limit. Then the least recently used stages are
 * unloaded, but never a running one. Stages of deployments do not count. Not an `lru-cache`: eviction skips running stages.
 */
export class Stages {
  readonly #deps: StageDeps
  readonly #limitBytes: number
  /** Range → entry; the most recently used is last. */
  readonly #entries = new Map<string, Entry>()
  /** True if the limit is exceeded because stages were running when they should have been unloaded. */
  #overLimit = false

  constructor(deps: StageDeps, limitBytes: number) {
    this.#deps = deps
    this.#limitBytes = limitBytes
  }

  /**
   * Loads the range, unless it is loaded or being loaded.
   * @throws ScissionError with the reason if loading fails; notReady if it was unloaded meanwhile.
   */
  need(key: RangeKey, bytes: number): Promise<HeldStage> {
    const id = keyText(key)
    const entry = this.#entries.get(id) ?? this.#load(id, key, bytes)
    this.#entries.delete(id)
    this.#entries.set(id, entry)
    return entry.stage
  }

  state(key: RangeKey): StageState | undefined {
    return this.#entries.get(keyText(key))?.state
  }

  /** @returns undefined unless the range is loaded. Not a use: it may still be the next one to be unloaded. */
  loaded(key: RangeKey): HeldStage | undefined {
    return this.#entries.get(keyText(key))?.held
  }

  keys(): RangeKey[] {
    return [...this.#entries.values()].map((entry) => entry.key)
  }

  /** Unloads a range. If it is still being loaded, that is stopped, and callers that wait for it are refused. */
  async drop(key: RangeKey): Promise<void> {
    const id = keyText(key)
    const entry = this.#entries.get(id)
    if (!entry) return
    this.#forget(id, entry)
    entry.stop.abort()
    entry.held?.release()
    await Promise.allSettled([entry.stage])
  }

  async close(): Promise<void> {
    await Promise.all(this.keys().map((key) => this.drop(key)))
  }

  #load(id: string, key: RangeKey, bytes: number): Entry {
    const stop = new AbortController()
    const stage = holdStage(this.#deps, key, stop.signal).then(
      (held) => {
        if (!stop.signal.aborted) return held
        held.release()
        throw justUnloaded(id)
      },
      (error: unknown) => {
        throw stop.signal.aborted ? justUnloaded(id) : error
      },
    )
    const entry: Entry = { key, bytes, state: 'LOADING', stage, held: undefined, stop }
    stage.then(
      (held) => {
        entry.state = 'READY'
        entry.held = held
        held.onIdle(() => {
          if (this.#overLimit) this.#evict()
        })
        this.#evict(entry)
      },
      () => this.#forget(id, entry),
    )
    return entry
  }

  /**
   * Unloads stages until the limit is kept. Called after loading, and after runs that kept stages loaded beyond the limit.
   * @param newest always stays, even if it alone exceeds the limit: otherwise it would be loaded again for every request.
   */
  #evict(newest = [...this.#entries.values()].at(-1)): void {
    let total = 0
    for (const entry of this.#entries.values()) total += entry.bytes
    for (const [id, entry] of this.#entries) {
      if (total <= this.#limitBytes) break
      if (entry === newest || !entry.held?.idle) continue
      total -= entry.bytes
      this.#forget(id, entry)
      entry.held.release()
      this.#deps.log.info(`unloaded ${id}: the stages not used for longest make room`)
    }
    this.#overLimit = total > this.#limitBytes
  }

  #forget(id: string, entry: Entry): void {
    if (this.#entries.get(id) === entry) this.#entries.delete(id)
  }
}
