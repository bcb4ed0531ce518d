/**
 * The requests that wait for one stage.
 *
 *   run ─▶ waiting ─▶ a run of one item, or of as many as wait and a session exists for
 *             └─ aborted or late: removed, never computed
 *
 * At most one run per executor thread (or process of the stage) is active. Clients have their turns, and so have their items in a
 * shared run. Requests that arrive meanwhile wait here and are run together when a run
 * ends. So a stage that keeps up with its requests never delays one to form a batch, unless `batchDelayMs` says so. If a batch
 * fails, its items are run again one by one, so that only the faulty one gets the error.
 */
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { Executor, LoadedStage, RunOptions, RunResult } from '../executor/executor.ts'
import { checkInputs } from '../executor/check-inputs.ts'
import { FairLine } from '../../../../shared/platform/fair-line.ts'
import { OWN_WORK } from '../../../../shared/platform/http-server/client-of.ts'
import { displaced, full, givenUp } from '../executor/executor-errors.ts'
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
  client: string
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
  readonly #waiting = new FairLine<Item>()
  /** Client → its runs under way; one of several items counts for the client whose turn it was. */
  readonly #runningOf = new Map<string, number>()
  #running = 0
  #pumping = false
  #timer: NodeJS.Timeout | undefined

  constructor(deps: QueueDeps) {
    this.#deps = deps
  }

  /**
   * Like Executor.run; in a batch the tensors are copied.
   * @throws ScissionError overloaded if too many requests wait; tooManyRequests if another client needs the place of this one;
   *   otherwise as Executor.run.
   */
  async run(inputs: readonly Tensor[], options: RunOptions): Promise<RunResult> {
    const { queueLimit, executors } = this.#deps.settings
    // One faulty item must not enter a batch with others.
    checkInputs(this.#deps.stage.manifest, inputs)
    const limit = queueLimit * executors
    const { client = OWN_WORK.client } = options
    if (this.#waiting.length >= limit) {
      const newest = this.#waiting.displaceFor(client)
      if (!newest) throw full(this.#waiting.length, limit, 'this stage')
      newest.reject(displaced(limit, 'this stage'))
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
        client,
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
      this.#waiting.add(client, item)
      this.#pumpSoon()
    })
  }

  #drop(item: Item): void {
    this.#waiting.remove(item.client, item)
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
      if (settings.batchDelayMs > 0 && this.#waiting.length < largest) {
        const waitMs = settings.batchDelayMs - (performance.now() - this.#oldestAt())
        if (waitMs > 0) {
          this.#timer = setTimeout(() => this.#pump(), Math.ceil(waitMs))
          return
        }
      }
      const first = this.#waiting.take((client) => (this.#runningOf.get(client) ?? 0) < this.#mostOfClient())
      if (!first) break
      const batch = batches.atMost(this.#waiting.length + 1)
      const items = [first]
      while (items.length < (batch?.size ?? 1)) {
        const next = this.#waiting.take()
        if (!next) break
        items.push(next)
      }
      void this.#start(items, batch?.stage)
    }
    if (this.#waiting.length > 1) batches.want()
  }

  #oldestAt(): number {
    let oldest = Infinity
    for (const [, [first]] of this.#waiting.clients()) oldest = Math.min(oldest, first?.addedAt ?? Infinity)
    return oldest
  }

  /**
   * Runs at a time of one client. In processes one more than threads, as the executor has it: one without an end must not hold up
   * the others.
   */
  #mostOfClient(): number {
    const { settings, stage } = this.#deps
    return settings.executors + (stage.place === 'processes' ? 1 : 0)
  }

  /** Of all: in processes another client has one more. */
  #most(): number {
    return this.#mostOfClient() + (this.#deps.stage.place === 'processes' ? 1 : 0)
  }

  async #start(items: readonly Item[], stage: LoadedStage | undefined): Promise<void> {
    const client = items[0]?.client ?? OWN_WORK.client
    this.#running += 1
    this.#runningOf.set(client, (this.#runningOf.get(client) ?? 0) + 1)
    try {
      if (stage && items.length > 1) await this.#runTogether(items, stage)
      else for (const item of items) await this.#runAlone(item)
    } finally {
      this.#running -= 1
      const left = (this.#runningOf.get(client) ?? 1) - 1
      if (left > 0) this.#runningOf.set(client, left)
      else this.#runningOf.delete(client)
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
      const run = await this.#deps.executor.run(stage, inputs, {
        client: items[0]?.client,
        signal: allGone.signal,
      })
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
