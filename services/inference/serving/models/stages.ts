/**
 * Layer ranges that this service keeps loaded: because a request needed them, the repository API asked for them, or a
 * deployment holds them. Loading is shared by all who ask at the same time; letting go waits for the runs under way,
 * so that a stage is never taken from under a request.
 */
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'
import type { Logger } from '../../../../shared/platform/log.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { checkInputs } from '../executor/check-inputs.ts'
import type { Executor, LoadedStage, RunOptions, RunResult } from '../executor/executor.ts'
import type { StageLoader } from '../executor/stage-loader.ts'
import type { RangeKey } from '../../ranges/range-store.ts'

export interface StageParts {
  loader: Pick<StageLoader, 'acquire' | 'release'>
  executor: Pick<Executor, 'run'>
  log: Logger
  /** Told of every run that ended well, but for those of several items. */
  onRun?: ((key: RangeKey, run: RunResult) => void) | undefined
}

/** A loaded stage and the right to run it, until `release`. */
export class HeldStage {
  readonly key: RangeKey
  readonly #parts: StageParts
  readonly #stage: LoadedStage
  #running = 0
  #released = false
  #afterwards: (() => void) | undefined
  #onIdle: (() => void) | undefined

  constructor(parts: StageParts, key: RangeKey, stage: LoadedStage) {
    this.#parts = parts
    this.key = key
    this.#stage = stage
  }

  get manifest(): LoadedStage['manifest'] {
    return this.#stage.manifest
  }

  /** Not to be run any more. */
  get released(): boolean {
    return this.#released
  }

  get idle(): boolean {
    return this.#running === 0
  }

  /**
   * @throws ScissionError invalidTensor when the tensors are not those of boundary `from`; notReady after `release`;
   * and what Executor.run throws.
   */
  async run(inputs: readonly Tensor[], options: RunOptions): Promise<RunResult> {
    checkInputs(this.#stage.manifest, inputs)
    if (this.#released) throw justUnloaded(this.#stage.key)
    this.#running += 1
    try {
      const result = await this.#parts.executor.run(this.#stage, inputs, options)
      if (!result.batch) this.#parts.onRun?.(this.key, result)
      return result
    } finally {
      this.#running -= 1
      if (this.#running === 0) this.#rest()
    }
  }

  #rest(): void {
    if (this.#released) this.#letGo()
    else this.#onIdle?.()
  }

  /** Runs under way finish first. Calling it again does nothing. */
  release(): void {
    if (this.#released) return
    this.#released = true
    if (this.#running === 0) this.#letGo()
  }

  /** @param then is called whenever nothing runs any more, until `release`. */
  onIdle(then: () => void): void {
    this.#onIdle = then
  }

  /** @param then is called once nothing runs any more. */
  onReleased(then: () => void): void {
    this.#afterwards = then
  }

  #letGo(): void {
    this.#afterwards?.()
    this.#parts.loader.release(this.#stage).catch((error: unknown) => {
      this.#parts.log.error({ err: coerceError(error) }, `could not unload ${this.#stage.key}`)
    })
  }
}

const justUnloaded = (name: string) =>
  new ScissionError('notReady', `${name} was just unloaded; send the request again`)

export async function holdStage(parts: StageParts, key: RangeKey, signal?: AbortSignal): Promise<HeldStage> {
  return new HeldStage(parts, key, await parts.loader.acquire(key, signal))
}

export type StageState = 'LOADING' | 'READY'

interface Entry {
  key: RangeKey
  weightBytes: number
  state: StageState
  stage: Promise<HeldStage>
  /** Set once loaded. */
  held: HeldStage | undefined
  /** Unloaded on request, and not to make room: those who wait for it are refused. */
  dropped: boolean
}

/**
 * Stages that stay loaded once anyone needed them, until their weights together pass a limit: then those not used for
 * longest go, never one that is running. What deployments hold is theirs and does not count.
 */
export class Stages {
  readonly #parts: StageParts
  readonly #limitBytes: number
  /** By range; the most recently used last. */
  readonly #entries = new Map<string, Entry>()
  /** More is loaded than there is room for, because it was running. */
  #over = false

  constructor(parts: StageParts, limitBytes: number) {
    this.#parts = parts
    this.#limitBytes = limitBytes
  }

  /**
   * Loads the range unless it is loaded or being loaded.
   * @throws ScissionError why it cannot be loaded; notReady if it was dropped meanwhile.
   */
  need(key: RangeKey, weightBytes: number): Promise<HeldStage> {
    const id = rangeId(key)
    const entry = this.#entries.get(id) ?? this.#load(id, key, weightBytes)
    this.#entries.delete(id)
    this.#entries.set(id, entry)
    return entry.stage
  }

  state(key: RangeKey): StageState | undefined {
    return this.#entries.get(rangeId(key))?.state
  }

  keys(): RangeKey[] {
    return [...this.#entries.values()].map((entry) => entry.key)
  }

  /** What is being loaded is freed once it is, and those who wait for it are refused. */
  async drop(key: RangeKey): Promise<void> {
    const id = rangeId(key)
    const entry = this.#entries.get(id)
    if (!entry) return
    this.#forget(id, entry)
    entry.dropped = true
    entry.held?.release()
    await Promise.allSettled([entry.stage])
  }

  async close(): Promise<void> {
    await Promise.all(this.keys().map((key) => this.drop(key)))
  }

  #load(id: string, key: RangeKey, weightBytes: number): Entry {
    const stage = holdStage(this.#parts, key).then((held) => {
      if (!entry.dropped) return held
      held.release()
      throw justUnloaded(id)
    })
    const entry: Entry = { key, weightBytes, state: 'LOADING', stage, held: undefined, dropped: false }
    stage.then(
      (held) => {
        entry.state = 'READY'
        entry.held = held
        held.onIdle(() => {
          if (this.#over) this.#evict()
        })
        this.#evict(entry)
      },
      () => this.#forget(id, entry),
    )
    return entry
  }

  /**
   * Also after a run: what was running when the room ran out stayed, and may go now. The one used last stays, so that a
   * stage larger than all the room is not loaded for each request anew.
   * @param newest stays whatever its size: it is about to be used.
   */
  #evict(newest = [...this.#entries.values()].at(-1)): void {
    let total = 0
    for (const entry of this.#entries.values()) total += entry.weightBytes
    for (const [id, entry] of this.#entries) {
      if (total <= this.#limitBytes) break
      if (entry === newest || !entry.held?.idle) continue
      total -= entry.weightBytes
      this.#forget(id, entry)
      entry.held.release()
      this.#parts.log.info(`unloaded ${id}: the stages not used for longest make room`)
    }
    this.#over = total > this.#limitBytes
  }

  #forget(id: string, entry: Entry): void {
    if (this.#entries.get(id) === entry) this.#entries.delete(id)
  }
}

export const rangeId = (key: RangeKey): string => `${key.model}.${key.shapesKey}.${key.from}-${key.to}`
