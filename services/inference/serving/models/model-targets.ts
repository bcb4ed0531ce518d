/**
 * Whole models and layer ranges as targets. A name is `model`, `model@version` or an id, each with an optional `:from-to` for
 * a layer range, so that every client can use a range like a model.
 *
 * A range is loaded at its first request, or by the repository API. After an explicit unload, a model stays unloaded until
 * it is loaded explicitly, as clients of the repository API expect.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ModelId } from '../../../../shared/contracts/common.ts'
import { namesOf } from '../../../../shared/contracts/model-names.ts'
import type { Model, Structure } from '../../../../shared/contracts/model.ts'
import { hasOpenDimensions } from '../../../../shared/onnx/canonical/declared-tensors.ts'
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'
import type { Logger } from '../../../../shared/platform/log.ts'
import type { Change } from '../../../../shared/platform/redis/changes.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { whyNoBatches } from '../batching/batchable.ts'
import { areItems, itemsIn, runItems } from '../batching/items.ts'
import type { BatchVerdict } from '../batching/stage-batches.ts'
import { type Patience, waitWithin } from '../../../../shared/platform/deadline.ts'
import { keyText, type RangeKey } from '../../ranges/stored-range.ts'
import type { RunOptions } from '../executor/executor.ts'
import { givenUp } from '../executor/executor-thread.ts'
import type { Catalog } from './catalog.ts'
import { declaredTensors, layersUnknown, openInputs, propertiesOf, tensorsAt } from './model-description.ts'
import { checkLayerRange, type ChosenLayers, type RequestStructures } from './request-structures.ts'
import {
  type BatchingFacts,
  type Here,
  type InferContext,
  type Inference,
  type LayerRange,
  reportRun,
  type Target,
} from './target.ts'
import type { HeldStage, Stages, StageState } from './stages.ts'
import { parseTargetName } from './target-name.ts'
import { withoutUnread } from './unread-inputs.ts'

export interface ModelTargetDeps {
  here: Here
  catalog: Catalog
  structures: RequestStructures
  stages: Stages
  batching: BatchingFacts
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

/** ms for which the description of a model waits until batches were tried; then it shows none. */
const CHECK_PATIENCE_MS = 10_000

/** A model, and what the client called it. */
interface Asked {
  model: Model
  asked: string
}

/** An inference, and the structure whose layers ran. */
interface Ran {
  inference: Inference
  ranOn: Structure
}

/** Why a model is not available after a client unloaded it: only a client's load brings it back. */
const UNLOADED = 'unloaded'

export class ModelTargets {
  readonly #deps: ModelTargetDeps
  /** Model id → the reason why it is not available. */
  readonly #unavailable = new Map<string, string>()
  readonly #batchable = new WeakMap<Structure, boolean>()

  constructor(deps: ModelTargetDeps) {
    this.#deps = deps
  }

  /** @throws ScissionError notFound, invalidRange. */
  async find(name: string, version?: string, layers?: LayerRange): Promise<Target> {
    const { base, range } = parseTargetName(name, layers)
    const named = await this.#deps.catalog.named(base, version)
    const { model } = named
    // As clients may call this very file: the highest version of its name may be another.
    const asked = version !== undefined && base === named.name ? `${base}@${version}` : base
    // The first request of a model with open dimensions has it analysed.
    const numbering = await this.#deps.structures.numbering(model)
    if (range && numbering) checkLayerRange(range, numbering)
    let structure = numbering
    const largest = () => (structure && !range ? this.#largestBatch(model, structure) : 1)
    const { maxBatch, batchDelayMs } = this.#deps.batching
    return {
      name: range ? `${base}:${range.from}-${range.to}` : base,
      version: String(named.version),
      versions: () => this.#deps.catalog.versions(base),
      tensors: () => {
        if (structure) return tensorsAt(structure, range, largest() > 1)
        if (range) throw layersUnknown(model)
        return declaredTensors(model)
      },
      get batching() {
        const maxBatch = largest()
        return maxBatch > 1 ? { maxBatch, batchDelayMs } : undefined
      },
      ...(numbering &&
        !range &&
        maxBatch > 1 && { checkBatching: () => this.#checkBatches(model, numbering) }),
      ...(hasOpenDimensions(model.inputs) && { takes: () => openInputs(model, structure, range) }),
      properties: async () => propertiesOf(model, structure, range),
      checkReady: () => this.#checkReady(model, asked, structure, range),
      infer: async (inputs, context) => {
        const { inference, ranOn } = await this.#infer({ model, asked }, range, inputs, context)
        structure ??= ranOn
        return inference
      },
    }
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
      if (!range && this.#mayBatch(model, structure)) await stage.checkBatches()
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
    const layers = structure.layers.slice(key.from, key.to)
    const weightBytes = layers.reduce((sum, layer) => sum + layer.weightBytes, 0)
    const stage = await this.#deps.stages.need(key, weightBytes)
    // The stage may have been evicted since it was found; then it is loaded again.
    return stage.released ? this.#deps.stages.need(key, weightBytes) : stage
  }

  async #isWhole(model: Model, key: RangeKey): Promise<boolean> {
    const structure = await this.#deps.catalog.structure(model.id, key.shapesKey)
    return key.from === 0 && key.to === structure.layers.length
  }

  /** The layers for these inputs. Errors as `RequestStructures.forModel` and `forRange`. */
  async #layersFor(
    model: Model,
    range: LayerRange | undefined,
    inputs: readonly Tensor[],
    patience: Patience,
  ): Promise<ChosenLayers> {
    const { structures } = this.#deps
    if (range) return structures.forRange(model, range, inputs, patience)
    return { structure: await structures.forModel(model, inputs, patience), range }
  }

  async #ownStructure({ id, shapesKey }: Model): Promise<Structure | undefined> {
    return shapesKey ? this.#deps.catalog.structure(id, shapesKey) : undefined
  }

  /** True if a request could hold several items by the shapes of the model. Whether it may is tried once it is loaded. */
  #mayBatch(model: Model, structure: Structure): boolean {
    if (this.#deps.batching.maxBatch === 1) return false
    const known = this.#batchable.get(structure) ?? whyNoBatches(model, structure) === undefined
    this.#batchable.set(structure, known)
    return known
  }

  /** Number of items that a request may hold; 1 unless the model is loaded and batches of it were tried. */
  #largestBatch(model: Model, structure: Structure): number {
    if (!this.#mayBatch(model, structure)) return 1
    return this.#deps.stages.loaded(keyOf(model, structure, undefined))?.largestBatch ?? 1
  }

  /** Tries batches of a loaded model. A try that takes longer than a client waits continues. */
  async #checkBatches(model: Model, structure: Structure): Promise<void> {
    const stage = this.#deps.stages.loaded(keyOf(model, structure, undefined))
    if (!stage || !this.#mayBatch(model, structure)) return
    const late = new AbortController()
    await Promise.race([stage.checkBatches(), sleep(CHECK_PATIENCE_MS, undefined, late)])
    late.abort()
  }

  #refuseUnloaded({ id }: Model, asked: string): void {
    if (this.#unavailable.get(id) !== UNLOADED) return
    throw new ScissionError(
      'notReady',
      `model ${asked} is unloaded; POST /v2/repository/models/${asked}/load brings it back`,
    )
  }

  #refuseTooMany(asked: string, count: number, { largest, why }: BatchVerdict): void {
    if (count <= largest) return
    const reason = why === undefined ? '' : `; ${why}`
    throw new ScissionError(
      'invalidTensor',
      `inference request batch-size must be <= ${largest} for '${asked}', got ${count}${reason}`,
      { batch: count, maxBatch: largest },
    )
  }

  #checkReady(
    model: Model,
    asked: string,
    structure: Structure | undefined,
    range: LayerRange | undefined,
  ): void {
    const reason = this.#unavailable.get(model.id)
    const state = structure && this.#deps.stages.state(keyOf(model, structure, range))
    if (state === 'READY') return
    const why = state === 'LOADING' ? 'loading' : (reason ?? 'not loaded yet')
    throw new ScissionError('notReady', `Model version not ready: ${asked} is ${why}`)
  }

  async #infer(
    { model, asked }: Asked,
    range: LayerRange | undefined,
    given: Tensor[],
    { signal, deadline }: InferContext,
  ): Promise<Ran> {
    if (!range) this.#refuseUnloaded(model, asked)
    const several = range
      ? undefined
      : await this.#inferSeveral({ model, asked }, given, { signal, deadline })
    if (several) return several
    const chosen = await this.#layersFor(model, range, given, { signal, deadline })
    const { structure } = chosen
    const inputs = (range?.from ?? 0) > 0 ? given : withoutUnread(structure, structure.inputs, given)
    const stage = await this.#loadFor({ model, asked }, structure, chosen.range, { signal, deadline })
    const inference = await this.#run(stage, inputs, 1, { signal, deadline }, range)
    return { inference, ranOn: structure }
  }

  /**
   * Runs a request of several items, each of which may share its run with others.
   * @returns undefined if it holds one item, or items of other sizes than the model's own. @throws ScissionError invalidTensor for more items than were found to be computed
   * together as one by one: what several items mean to a model that mixes them is not known.
   */
  async #inferSeveral(
    { model, asked }: Asked,
    given: Tensor[],
    options: RunOptions,
  ): Promise<Ran | undefined> {
    const structure = await this.#ownStructure(model)
    const count = structure && this.#mayBatch(model, structure) ? itemsIn(structure, given) : 1
    if (!structure || count === 1) return undefined
    const stage = await this.#loadFor({ model, asked }, structure, undefined, options)
    const verdict = await waitWithin(stage.checkBatches(), options, (why) =>
      givenUp(`trying batches of ${model.name}`, why),
    )
    // Of other sizes than the model's own, they run on other layers, all at once: but they mean the same.
    const areOfOwnSizes = areItems(structure, given)
    if (areOfOwnSizes || verdict.largest === 1) this.#refuseTooMany(asked, count, verdict)
    if (!areOfOwnSizes) return undefined
    const inputs = withoutUnread(structure, tensorsAt(structure, undefined, true).inputs, given)
    return { inference: await this.#run(stage, inputs, count, options), ranOn: structure }
  }

  async #loadFor(
    { model, asked }: Asked,
    structure: Structure,
    range: LayerRange | undefined,
    options: RunOptions,
  ): Promise<HeldStage> {
    const key = keyOf(model, structure, range)
    // Again, at the moment in which it would be loaded: it may have been unloaded since.
    if (!range) this.#refuseUnloaded(model, asked)
    // Loading may take longer than this request may wait; it continues for the next one.
    const stage = await waitWithin(this.#need(structure, key), options, (why) =>
      givenUp(`loading ${keyText(key)}`, why),
    )
    if (this.#unavailable.get(model.id) !== UNLOADED) this.#unavailable.delete(model.id)
    return stage
  }

  /** @param asked the range as the client numbered it, if that is another numbering than the stage's. */
  async #run(
    stage: HeldStage,
    inputs: Tensor[],
    count: number,
    options: RunOptions,
    asked?: LayerRange,
  ): Promise<Inference> {
    const { run, ...work } = await runItems(stage, inputs, count, options)
    const report = reportRun(this.#deps.here, 0, asked ?? stage.key, run)
    const largest = Math.max(...work.runs.map(({ size }) => size))
    if (largest > 1) report.batch = largest
    return { outputs: run.outputs, hops: [report], work }
  }
}

function unlessNotFound(error: unknown): undefined {
  if (!(error instanceof ScissionError) || error.code !== 'notFound') throw error
}

function keyOf(model: Model, structure: Structure, range: LayerRange | undefined): RangeKey {
  const { from, to } = range ?? { from: 0, to: structure.layers.length }
  return { model: model.id, shapesKey: structure.shapesKey, from, to }
}
