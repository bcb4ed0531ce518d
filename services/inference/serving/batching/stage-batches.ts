/**
 * Sessions that run several items of one stage at once: the same layers, analysed for input shapes with more rows. They are
 * created when several requests wait for the first time, or when somebody asks how many items a request may have; the
 * smallest first. None is used before all were tried. If one gives other answers than its items one by one, the network
 * mixes its items and none is used; one that cannot be loaded leaves the smaller ones.
 */
import type { InputShapes } from '../../../../shared/contracts/common.ts'
import type { Model, Structure } from '../../../../shared/contracts/model.ts'
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'
import type { Logger } from '../../../../shared/platform/log.ts'
import type { Executor, LoadedStage } from '../executor/executor.ts'
import type { StageLoader } from '../executor/stage-loader.ts'
import { whatDiffers } from './batch-trial.ts'
import { batchSizes, whyNoBatches, whyNoBatchOf } from './batchable.ts'
import type { BatchSettings } from './stage-queue.ts'

/** ms until the next attempt after a temporary failure: the benchmark service is unreachable, or the queue is full. */
const RETRY_MS = 30_000

export interface BatchSource {
  executor: Pick<Executor, 'run'>
  loader: Pick<StageLoader, 'acquire' | 'release'>
  /** Reads the model's record, and its structure with the model's own shapes. */
  model: (stage: LoadedStage) => Promise<{ model: Model; structure: Structure }>
  /** Asks the benchmark service to analyse the model for other shapes. */
  analyse: (model: Model, shapes: InputShapes) => Promise<Structure>
  settings: Pick<BatchSettings, 'maxBatch'>
  log: Logger
}

/** What the tries of a stage's batches have shown. */
export interface BatchVerdict {
  /** Number of items of the largest run that was tried and found to give the answers of single runs; 1 if there is none. */
  largest: number
  /** The reason why there are no larger ones; undefined if the largest allowed one passed. */
  why: string | undefined
}

export class StageBatches {
  readonly #source: BatchSource
  readonly #one: LoadedStage
  /** Size → session that passed its try. They are used only after all sizes were tried. */
  readonly #passed = new Map<number, LoadedStage>()
  #making: Promise<void> | undefined
  #finished = false
  #retryAt = 0
  #why: string | undefined
  #released = false

  constructor(source: BatchSource, one: LoadedStage) {
    this.#source = source
    this.#one = one
  }

  /** The largest session for at most `items` items; undefined if there is none. */
  atMost(items: number): { size: number; stage: LoadedStage } | undefined {
    if (!this.#finished || this.#released) return undefined
    let found: { size: number; stage: LoadedStage } | undefined
    for (const [size, stage] of this.#passed)
      if (size <= items && size > (found?.size ?? 1)) found = { size, stage }
    return found
  }

  /** As in BatchVerdict. */
  get largest(): number {
    return this.atMost(Number.POSITIVE_INFINITY)?.size ?? 1
  }

  /** Creates and tries the sessions, unless that is done or failed a moment ago. Never rejects. */
  async check(): Promise<BatchVerdict> {
    this.want()
    await this.#making
    return { largest: this.largest, why: this.#why }
  }

  /** Called if several requests wait, so that sessions for several items are created. */
  want(): void {
    if (this.#making || this.#finished || this.#released || performance.now() < this.#retryAt) return
    this.#making = this.#make()
      .then(
        (refusal) => this.#end(refusal),
        (thrown: unknown) => this.#failed(coerceError(thrown)),
      )
      .finally(() => (this.#making = undefined))
  }

  /** Frees the sessions after their running requests. */
  async release(): Promise<void> {
    this.#released = true
    await this.#making
    await this.#drop()
  }

  async #drop(): Promise<void> {
    const stages = [...this.#passed.values()]
    this.#passed.clear()
    await Promise.all(stages.map((stage) => this.#source.loader.release(stage)))
  }

  /** @returns the reason why there are no batches; undefined if all sizes passed. @throws if a size cannot be made. */
  async #make(): Promise<string | undefined> {
    const { model, structure } = await this.#source.model(this.#one)
    const refusal = whyNoBatches(model, structure)
    if (refusal !== undefined) return refusal
    for (const size of batchSizes(this.#source.settings.maxBatch)) {
      if (this.#released) return 'the stage was unloaded'
      if (this.#passed.has(size)) continue
      const failure = await this.#add(model, structure, size)
      if (failure === undefined) continue
      await this.#drop()
      return `${size} at once: ${failure}`
    }
    return undefined
  }

  async #add(model: Model, structure: Structure, size: number): Promise<string | undefined> {
    const { loader, analyse } = this.#source
    const { from, to } = this.#one.manifest
    const shapes = Object.fromEntries(
      structure.inputs.map(({ name, shape: [rows = 0, ...rest] }) => [name, [rows * size, ...rest]]),
    )
    const { shapesKey } = await analyse(model, shapes)
    const many = await loader.acquire({ model: model.id, shapesKey, from, to })
    try {
      const failure = await this.#try(structure, many, size)
      if (failure === undefined) this.#passed.set(size, many)
      else await loader.release(many)
      return failure
    } catch (error) {
      await loader.release(many)
      throw error
    }
  }

  async #try(structure: Structure, many: LoadedStage, size: number): Promise<string | undefined> {
    const { executor } = this.#source
    const one = this.#one
    const other = whyNoBatchOf(one.manifest, many.manifest, size)
    if (other !== undefined) return other
    const runOf = (stage: LoadedStage) => async (inputs: Parameters<Executor['run']>[1]) =>
      (await executor.run(stage, inputs)).outputs
    return whatDiffers(one.manifest.inputs, structure.inputHints, size, {
      one: runOf(one),
      many: runOf(many),
    })
  }

  #end(refusal: string | undefined): void {
    this.#finished = true
    this.#why = refusal
    const sizes = [...this.#passed.keys()].join(', ')
    const runs = sizes ? `batches of ${sizes}` : 'no batches'
    this.#source.log.info(`${this.#one.key} runs ${runs}${refusal === undefined ? '' : `: ${refusal}`}`)
  }

  #failed(error: Error): void {
    const passing = error instanceof ScissionError && PASSING.has(error.code)
    if (!passing) return this.#end(error.message)
    this.#why = `not tried yet: ${error.message}`
    this.#retryAt = performance.now() + RETRY_MS
    this.#source.log.warn({ err: error }, `${this.#one.key} runs no batches yet`)
  }
}

const PASSING = new Set(['peerUnavailable', 'overloaded', 'deadlineExceeded', 'conflict'])
