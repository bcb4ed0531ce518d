/**
 * Which models and layer ranges are loaded, and why others are not. A range is loaded at its first request, or by the
 * repository API. After an explicit unload, a model stays unloaded until it is loaded explicitly, as clients of the
 * repository API expect.
 */
import type { ModelId } from '../../../../shared/contracts/common.ts'
import { namesOf } from '../../../../shared/contracts/model-names.ts'
import type { Model, Structure } from '../../../../shared/contracts/model.ts'
import { waitWithin } from '../../../../shared/platform/deadline.ts'
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'
import type { Logger } from '../../../../shared/platform/log.ts'
import type { Change } from '../../../../shared/platform/redis/changes.ts'
import { keyText, type RangeKey } from '../../ranges/stored-range.ts'
import type { RunOptions } from '../executor/executor.ts'
import { givenUp } from '../executor/executor-errors.ts'
import type { Catalog } from './catalog.ts'
import { checkLayerRange, keyOf } from './layer-range.ts'
import type { ModelBatches } from './model-batches.ts'
import type { RequestStructures } from './request-structures.ts'
import { sessionBytes } from './range-memory.ts'
import type { HeldStage, Stages, StageState } from './stages.ts'
import type { LayerRange } from './target.ts'
import { parseTargetName } from './target-name.ts'

export interface LoadedModelsDeps {
  catalog: Catalog
  structures: RequestStructures
  stages: Stages
  batches: ModelBatches
  log: Logger
}

export interface LoadedRange {
  /** The name for clients: `model` or `model:from-to`. */
  name: string
  version: string
  state: StageState
  /** True if the range contains all layers of the model. */
  whole: boolean
}

/** A model, and what the client called it. */
export interface Asked {
  model: Model
  asked: string
}

/** Why a model is not available after a client unloaded it: only a client's load brings it back. */
const UNLOADED = 'unloaded'

export class LoadedModels {
  readonly #deps: LoadedModelsDeps
  /** Model id → the reason why it is not available. */
  readonly #unavailable = new Map<string, string>()

  constructor(deps: LoadedModelsDeps) {
    this.#deps = deps
  }

  /** Loads a whole model or a layer range. If loading again fails, the loaded one stays. @throws ScissionError the reason. */
  async load(name: string): Promise<void> {
    const { base, range } = parseTargetName(name)
    const model = await this.#deps.catalog.model(base)
    const structure = await this.#deps.structures.numbering(model)
    if (!structure) {
      throw new ScissionError(
        'needsInputShapes',
        `model ${model.name} has open input dimensions: it is loaded by the first request that fixes them`,
      )
    }
    if (range) checkLayerRange(range, structure)
    const had = this.#unavailable.get(model.id)
    // A range does not bring back the whole model.
    if (!range || had !== UNLOADED) this.#unavailable.delete(model.id)
    try {
      const stage = await this.#need(structure, keyOf(model, structure, range))
      // Clients read the configuration after loading, and send as many items as it says.
      if (!range && this.#deps.batches.mayBatch(model, structure)) await stage.checkBatches()
    } catch (error) {
      // An unload that came meanwhile is the last word.
      if (!this.#unavailable.has(model.id)) this.#unavailable.set(model.id, had ?? coerceError(error).message)
      throw error
    }
  }

  /** Unloads a model or a layer range. @param dependents also unload the layer ranges of the model. */
  async unload(name: string, dependents: boolean): Promise<void> {
    const { base, range } = parseTargetName(name)
    const model = await this.#deps.catalog.model(base)
    if (!range) this.#unavailable.set(model.id, UNLOADED)
    const mine = this.#deps.stages.keys().filter((key) => key.model === model.id)
    const whole = await Promise.all(mine.map((key) => this.#isWhole(model, key)))
    const dropped = mine.filter((key, index) => {
      if (range) return key.from === range.from && key.to === range.to
      return dependents || whole[index]
    })
    await Promise.all(dropped.map((key) => this.#deps.stages.drop(key)))
  }

  /**
   * The loaded stage for a request.
   * @throws ScissionError notReady if a client unloaded the model; with the reason if loading fails; deadlineExceeded, cancelled.
   */
  async stageFor(
    { model, asked }: Asked,
    structure: Structure,
    range: LayerRange | undefined,
    options: RunOptions,
  ): Promise<HeldStage> {
    const key = keyOf(model, structure, range)
    // Again, at the moment in which it would be loaded: it may have been unloaded since.
    if (!range) this.refuseUnloaded({ model, asked })
    // Loading may take longer than this request may wait; it continues for the next one.
    const stage = await waitWithin(this.#need(structure, key), options, (why) =>
      givenUp(`loading ${keyText(key)}`, why),
    )
    if (this.#unavailable.get(model.id) !== UNLOADED) this.#unavailable.delete(model.id)
    return stage
  }

  /** @throws ScissionError notReady if a client unloaded the model. */
  refuseUnloaded({ model, asked }: Asked): void {
    if (this.#unavailable.get(model.id) !== UNLOADED) return
    throw new ScissionError(
      'notReady',
      `model ${asked} is unloaded; POST /v2/repository/models/${asked}/load brings it back`,
    )
  }

  /** @throws ScissionError notReady with the reason, unless it is loaded. */
  checkReady({ model, asked }: Asked, structure: Structure | undefined, range: LayerRange | undefined): void {
    const reason = this.#unavailable.get(model.id)
    const state = structure && this.#deps.stages.state(keyOf(model, structure, range))
    if (state === 'READY') return
    const why = state === 'LOADING' ? 'loading' : (reason ?? 'not loaded yet')
    throw new ScissionError('notReady', `Model version not ready: ${asked} is ${why}`)
  }

  /** Unloads the layers of models that were deleted, also if the announcement of that was lost with a connection. */
  onChange(change: Change): void {
    if (change.kind !== 'models') return
    for (const model of new Set(this.#deps.stages.keys().map((key) => key.model))) {
      this.#dropDeleted(model).catch((error: unknown) =>
        this.#deps.log.warn({ err: coerceError(error) }, `could not read model ${model} from Redis`),
      )
    }
  }

  async #dropDeleted(model: ModelId): Promise<void> {
    const { catalog, stages } = this.#deps
    const mine = stages.keys().filter((key) => key.model === model)
    if (!(await catalog.isRegistered(model))) await Promise.all(mine.map((key) => stages.drop(key)))
  }

  /** State and reason of a whole model, as the repository index shows it. */
  async stateOf(model: Model): Promise<{ state: string; reason: string }> {
    const mine = this.#deps.stages.keys().filter((key) => key.model === model.id)
    for (const key of mine) {
      const state = (await this.#isWhole(model, key)) ? this.#deps.stages.state(key) : undefined
      if (state) return { state, reason: '' }
    }
    return { state: 'UNAVAILABLE', reason: this.#unavailable.get(model.id) ?? 'not loaded yet' }
  }

  /** Ranges that are loaded or being loaded, under every name of their model. Does not read Redis. */
  async loaded(): Promise<LoadedRange[]> {
    const found: LoadedRange[] = []
    for (const key of this.#deps.stages.keys())
      found.push(...((await this.#describe(key).catch(unlessNotFound)) ?? []))
    return found
  }

  /** @returns nothing if it was unloaded meanwhile. @throws ScissionError notFound if its model was deleted. */
  async #describe(key: RangeKey): Promise<LoadedRange[]> {
    const model = await this.#deps.catalog.model(key.model)
    const whole = await this.#isWhole(model, key)
    const state = this.#deps.stages.state(key)
    if (!state) return []
    const range = whole ? '' : `:${key.from}-${key.to}`
    return namesOf(model).map(({ name, version }) => ({
      name: `${name}${range}`,
      version: String(version),
      state,
      whole,
    }))
  }

  async #need(structure: Structure, key: RangeKey): Promise<HeldStage> {
    const bytes = sessionBytes(structure, key.from, key.to)
    const stage = await this.#deps.stages.need(key, bytes)
    // The stage may have been evicted since it was found; then it is loaded again.
    return stage.released ? this.#deps.stages.need(key, bytes) : stage
  }

  async #isWhole(model: Model, key: RangeKey): Promise<boolean> {
    const structure = await this.#deps.catalog.structure(model.id, key.shapesKey)
    return key.from === 0 && key.to === structure.layers.length
  }
}

function unlessNotFound(error: unknown): undefined {
  if (!(error instanceof ScissionError) || error.code !== 'notFound') throw error
}
