/**
 * Dynamic batching. It stands between the holders of stages and the executor, and implements the interfaces of loader and
 * executor. An acquired stage gets a queue; the last release also frees its sessions for several items.
 */
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { Executor, LoadedStage, RunOptions, RunResult } from '../executor/executor.ts'
import type { StageLoader } from '../executor/stage-loader.ts'
import type { RangeKey } from '../../ranges/stored-range.ts'
import { BatchQueue, type BatchSettings } from './stage-queue.ts'
import { type BatchSource, type BatchVerdict, StageBatches } from './stage-batches.ts'

export interface BatchingDeps extends BatchSource {
  settings: BatchSettings
}

interface Held {
  holders: number
  queue: BatchQueue
  batches: StageBatches
}

export class Batching implements Pick<Executor, 'run'>, Pick<StageLoader, 'acquire' | 'release'> {
  readonly #deps: BatchingDeps
  readonly #held = new Map<LoadedStage, Held>()

  constructor(deps: BatchingDeps) {
    this.#deps = deps
  }

  /** Like StageLoader.acquire. */
  async acquire(key: RangeKey, signal?: AbortSignal): Promise<LoadedStage> {
    const stage = await this.#deps.loader.acquire(key, signal)
    const held = this.#held.get(stage) ?? this.#hold(stage)
    held.holders += 1
    return stage
  }

  /** Like StageLoader.release. */
  async release(stage: LoadedStage): Promise<void> {
    const held = this.#held.get(stage)
    if (held) held.holders -= 1
    if (held?.holders === 0) {
      this.#held.delete(stage)
      await held.batches.release()
    }
    await this.#deps.loader.release(stage)
  }

  /**
   * Number of items that a request may have: 1 until batches were tried and gave the answers of single runs.
   * @param stage an acquired stage.
   */
  largestBatch(stage: LoadedStage): number {
    return this.#held.get(stage)?.batches.largest ?? 1
  }

  /** Tries batches, unless that is done. Never rejects. */
  async checkBatches(stage: LoadedStage): Promise<BatchVerdict | undefined> {
    return this.#held.get(stage)?.batches.check()
  }

  /** Like Executor.run, possibly in one run with other requests. */
  run(stage: LoadedStage, inputs: readonly Tensor[], options: RunOptions = {}): Promise<RunResult> {
    const held = this.#held.get(stage)
    // A range without layers computes nothing that could be shared.
    if (!held || stage.path === null) return this.#deps.executor.run(stage, inputs, options)
    return held.queue.run(inputs, options)
  }

  #hold(stage: LoadedStage): Held {
    const batches = new StageBatches(this.#deps, stage)
    const held = { holders: 0, batches, queue: new BatchQueue({ ...this.#deps, stage, batches }) }
    this.#held.set(stage, held)
    return held
  }
}
