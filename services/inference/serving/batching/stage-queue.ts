/**
 * The requests that wait for one stage.
 *
 *   run ─▶ waiting ─▶ a run of one, or of as many as wait and a session is there for
 *             └─ aborted or late: taken out, never computed
 *
 * As many runs are under way as there are executor threads; who comes meanwhile waits here, and goes together when one
 * ends. So a stage that keeps up never waits for company, unless it is told to (`maxDelayMs`). A batch that fails is run
 * again item by item, so that a fault is answered to whom it belongs.
 */
import { ScissionError } from '../../../../shared/platform/errors.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { Executor, LoadedStage, RunOptions, RunResult } from '../executor/executor.ts'
import { givenUp } from '../executor/executor-thread.ts'
import { joinItems, splitItems } from './batch-tensors.ts'
import { watchPatience } from '../../../../shared/platform/deadline.ts'

export interface BatchSettings {
  /** Most items of one run; 1 = no batches. */
  maxBatch: number
  /** How long a request waits for others when it could be run. */
  maxDelayMs: number
  /** Threads that run stages. */
  executors: number
  /** Requests that may wait per thread. */
  queueLimit: number
}

/** The sessions for more than one item. */
export interface Batches {
  /** The largest session for at most so many items; undefined where there is none. */
  atMost: (items: number) => { size: number; stage: LoadedStage } | undefined
  /** Several requests wait: sessions for several are worth having. */
  want: () => void
}

export interface QueueParts {
  stage: LoadedStage
  executor: Pick<Executor, 'run'>
  batches: Batches
  settings: BatchSettings
}

interface Item {
  inputs: readonly Tensor[]
  options: RunOptions
  addedAt: number
  resolve: (run: RunResult) => void
  reject: (error: unknown) => void
  /** Answered or given up. */
  done: boolean
  /** Stops watching for that. */
  forget: () => void
  whenDone: () => void
}

export class BatchQueue {
  readonly #parts: QueueParts
  readonly #waiting: Item[] = []
  #running = 0
  #pumping = false
  #timer: NodeJS.Timeout | undefined

  constructor(parts: QueueParts) {
    this.#parts = parts
  }

  /**
   * As Executor.run; in a batch the tensors are copied.
   * @throws ScissionError overloaded when too many wait, and what Executor.run throws.
   */
  run(inputs: readonly Tensor[], options: RunOptions): Promise<RunResult> {
    const { queueLimit, executors } = this.#parts.settings
    const limit = queueLimit * executors
    if (this.#waiting.length >= limit) {
      return Promise.reject(
        new ScissionError('overloaded', `${limit} requests are waiting for this stage already; retry later`, {
          waiting: this.#waiting.length,
          limit,
        }),
      )
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push(this.#item(inputs, options, resolve, reject))
      this.#pumpSoon()
    })
  }

  #item(
    inputs: readonly Tensor[],
    options: RunOptions,
    resolve: Item['resolve'],
    reject: Item['reject'],
  ): Item {
    const item: Item = {
      inputs,
      options,
      addedAt: performance.now(),
      done: false,
      whenDone: () => this.#drop(item),
      forget: () => undefined,
      resolve: (run) => end(() => resolve(run)),
      reject: (error) => end(() => reject(error)),
    }
    const end = (settle: () => void) => {
      if (item.done) return
      item.done = true
      item.forget()
      item.whenDone()
      settle()
    }
    const { signal, deadline } = options
    item.forget = watchPatience({ signal, deadline }, (why) =>
      item.reject(givenUp(`waiting for ${this.#parts.stage.key}`, why)),
    )
    return item
  }

  #drop(item: Item): void {
    const place = this.#waiting.indexOf(item)
    if (place >= 0) this.#waiting.splice(place, 1)
  }

  /** After all that comes in this turn has come: the items of one request shall go together. */
  #pumpSoon(): void {
    if (this.#pumping) return
    this.#pumping = true
    queueMicrotask(() => {
      this.#pumping = false
      this.#pump()
    })
  }

  #pump(): void {
    const { batches, settings } = this.#parts
    clearTimeout(this.#timer)
    while (this.#waiting.length > 0 && this.#running < settings.executors) {
      const largest = batches.atMost(settings.maxBatch)?.size ?? 1
      const waitMs = settings.maxDelayMs - (performance.now() - (this.#waiting[0]?.addedAt ?? 0))
      if (this.#waiting.length < largest && waitMs > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.ceil(waitMs))
        return
      }
      const batch = batches.atMost(this.#waiting.length)
      void this.#start(this.#waiting.splice(0, batch?.size ?? 1), batch?.stage)
    }
    if (this.#waiting.length > 1) batches.want()
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
    // The executor looks after the caller's patience itself.
    item.forget()
    const waitedMs = performance.now() - item.addedAt
    try {
      const run = await this.#parts.executor.run(this.#parts.stage, item.inputs, item.options)
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
      const run = await this.#parts.executor.run(stage, inputs, { signal: allGone.signal })
      const batch = { size: items.length }
      for (const [index, outputs] of splitItems(run.outputs, items.length).entries()) {
        const item = items[index]
        item?.resolve({ ...run, outputs, batch, queueMs: run.queueMs + startedAt - item.addedAt })
      }
    } catch {
      // Each item's own run says what is wrong with it. One after the other: an item that takes its thread down shall
      // not take its neighbours with it.
      for (const item of items) await this.#runAlone(item)
    }
  }
}
