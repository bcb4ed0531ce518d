/**
 * The requests that wait for one stage.
 *
 *   run ─▶ waiting ─▶ a run of one item, or of as many as wait and a session exists for
 *             └─ aborted or late: removed, never computed
 *
 * At most one run per executor thread (or process of the stage) is active. Requests that arrive meanwhile wait here and are run together when a run
 * ends. So a stage that keeps up with its requests never delays one to form a batch, unless `batchDelayMs` says so. If a batch
 * fails, its items are run again one by one, so that only the faulty one gets the error.
 */
import { ScissionError } from '../../../../shared/platform/errors.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { Executor, LoadedStage, RunOptions, RunResult } from '../executor/executor.ts'
import { checkInputs } from '../executor/check-inputs.ts'
import { givenUp } from '../executor/executor-thread.ts'
import type { BatchingFacts } from '../models/target.ts'
import { joinItems, splitItems } from './items.ts'
import type { StageBatches } from './stage-batches.ts'
import { watchPatience } from '../../../../shared/platform/deadline.ts'

export interface BatchSettings extends BatchingFacts {
  /** Number of threads that run stages. */
  executors: number
  /** Requests that may wait per thread. */
  queueLimit: number
}

export interface QueueDeps {
  stage: LoadedStage
  executor: Pick<Executor, 'run'>
  batches: Pick<StageBatches, 'atMost' | 'want'>
  settings: BatchSettings
}

interface Item {
  inputs: readonly Tensor[]
  options: RunOptions
  addedAt: number
  resolve: (run: RunResult) => void
  reject: (error: unknown) => void
  /** True after the item was answered or given up. */
  done: boolean
  /** Stops watching the item's signal and deadline. */
  forget: () => void
  whenDone: () => void
}

export class BatchQueue {
  readonly #deps: QueueDeps
  readonly #waiting: Item[] = []
  #running = 0
  #pumping = false
  #timer: NodeJS.Timeout | undefined

  constructor(deps: QueueDeps) {
    this.#deps = deps
  }

  /**
   * Like Executor.run; in a batch the tensors are copied.
   * @throws ScissionError overloaded if too many requests wait; otherwise as Executor.run.
   */
  async run(inputs: readonly Tensor[], options: RunOptions): Promise<RunResult> {
    const { queueLimit, executors } = this.#deps.settings
    // One faulty item must not enter a batch with others.
    checkInputs(this.#deps.stage.manifest, inputs)
    const limit = queueLimit * executors
    if (this.#waiting.length >= limit) {
      throw new ScissionError(
        'overloaded',
        `${limit} requests are waiting for this stage already; retry later`,
        {
          waiting: this.#waiting.length,
          limit,
        },
      )
    }
    return new Promise((resolve, reject) => {
      const end = <T>(settle: (outcome: T) => void) => {
        return (outcome: T) => {
          if (item.done) return
          item.done = true
          item.forget()
          item.whenDone()
          settle(outcome)
        }
      }
      const item: Item = {
        inputs,
        options,
        addedAt: performance.now(),
        done: false,
        whenDone: () => this.#drop(item),
        forget: watchPatience(options, (why) =>
          item.reject(givenUp(`waiting for ${this.#deps.stage.key}`, why)),
        ),
        resolve: end(resolve),
        reject: end(reject),
      }
      this.#waiting.push(item)
      this.#pumpSoon()
    })
  }

  #drop(item: Item): void {
    const place = this.#waiting.indexOf(item)
    if (place >= 0) this.#waiting.splice(place, 1)
  }

  /** Waits for the end of the current turn of the event loop, so that the items of one request run together. */
  #pumpSoon(): void {
    if (this.#pumping) return
    this.#pumping = true
    queueMicrotask(() => {
      this.#pumping = false
      this.#pump()
    })
  }

  #pump(): void {
    const { batches, settings } = this.#deps
    clearTimeout(this.#timer)
    while (this.#waiting.length > 0 && this.#running < this.#most()) {
      const largest = batches.atMost(settings.maxBatch)?.size ?? 1
      const waitMs = settings.batchDelayMs - (performance.now() - (this.#waiting[0]?.addedAt ?? 0))
      if (this.#waiting.length < largest && waitMs > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.ceil(waitMs))
        return
      }
      const batch = batches.atMost(this.#waiting.length)
      void this.#start(this.#waiting.splice(0, batch?.size ?? 1), batch?.stage)
    }
    if (this.#waiting.length > 1) batches.want()
  }

  /** Runs at a time. A process more than threads, as the executor has it: one without an end must not hold up the others. */
  #most(): number {
    const { settings, stage } = this.#deps
    return settings.executors + (stage.place === 'processes' ? 1 : 0)
  }

  async #start(items: readonly Item[], stage: LoadedStage | undefined): Promise<void> {
    this.#running += 1
    try {
      if (stage && items.length > 1) await this.#runTogether(items, stage)
      else for (const item of items) await this.#runAlone(item)
    } finally {
      this.#running -= 1
      this.#pump()
    }
  }

  async #runAlone(item: Item): Promise<void> {
    if (item.done) return
    // From here on the executor watches signal and deadline.
    item.forget()
    const waitedMs = performance.now() - item.addedAt
    try {
      const run = await this.#deps.executor.run(this.#deps.stage, item.inputs, item.options)
      item.resolve({ ...run, queueMs: run.queueMs + waitedMs })
    } catch (error) {
      item.reject(error)
    }
  }

  async #runTogether(items: readonly Item[], stage: LoadedStage): Promise<void> {
    const startedAt = performance.now()
    const allGone = new AbortController()
    for (const item of items)
      item.whenDone = () => {
        if (items.every(({ done }) => done)) allGone.abort()
      }
    try {
      const inputs = joinItems(items.map((item) => item.inputs))
      const run = await this.#deps.executor.run(stage, inputs, { signal: allGone.signal })
      const batch = { size: items.length }
      for (const [index, outputs] of splitItems(run.outputs, items.length).entries()) {
        const item = items[index]
        item?.resolve({ ...run, outputs, batch, queueMs: run.queueMs + startedAt - item.addedAt })
      }
    } catch {
      // Each item is run alone to find the faulty one. One after another: an item that crashes its thread must not fail
      // the others.
      for (const item of items) await this.#runAlone(item)
    }
  }
}
