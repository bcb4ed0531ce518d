/**
 * Whole models and layer ranges as targets. A name is `model`, `model@version` or an id, each with an optional `:from-to` for
 * a layer range, so that every client can use a range like a model.
 *
 * A range is loaded at its first request, or by the repository API. After an explicit unload, a model stays unloaded until
 * it is loaded explicitly, as clients of the repository API expect.
 */
import type { ModelId } from '../../../../shared/contracts/common.ts'
import type { Model, Structure } from '../../../../shared/contracts/model.ts'
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'
import type { Logger } from '../../../../shared/platform/log.ts'
import type { Change } from '../../../../shared/platform/redis/changes.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { whyNoBatches } from '../batching/batchable.ts'
import { areItems, itemsIn, runItems } from '../batching/items.ts'
import { type Patience, waitWithin } from '../../../../shared/platform/deadline.ts'
import { keyText, type RangeKey } from '../../ranges/stored-range.ts'
import { givenUp } from '../executor/executor-thread.ts'
import type { Catalog } from './catalog.ts'
import {
  checkLayerRange,
  type ChosenLayers,
  layersUnknown,
  type RequestStructures,
  tensorsAt,
} from './request-structures.ts'
import {
  type BatchingFacts,
  type Here,
  type InferContext,
  type Inference,
  type LayerRange,
  reportRun,
  type Target,
  type TargetTensor,
  type TargetTensors,
} from './target.ts'
import type { HeldStage, Stages, StageState } from './stages.ts'
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
    const [base = '', written] = name.split(':')
    const range = layers ?? (written === undefined ? undefined : parseLayerRange(written))
    const model = await this.#deps.catalog.model(base, version)
    // The first request of a model with open dimensions has it analysed.
    let structure = await this.#deps.structures.numbering(model)
    if (range && structure) checkLayerRange(range, structure)
    const batches = structure !== undefined && !range && this.#takesBatches(model, structure)
    return {
      name: range ? `${base}:${range.from}-${range.to}` : base,
      version: String(model.version),
      versions: () => this.#deps.catalog.versions(model),
      tensors: () => {
        if (structure) return tensorsAround(structure, range, batches)
        if (range) throw layersUnknown(model)
        return declaredTensors(model)
      },
      ...(batches && { batching: this.#deps.batching }),
      properties: propertiesOf(model, structure, range),
      checkReady: () => this.#checkReady(model, structure, range),
      infer: async (inputs, context) => {
        const { inference, ranOn } = await this.#infer(model, range, inputs, context)
        structure ??= ranOn
        return inference
      },
    }
  }

  /** Loads a whole model or a layer range. If loading again fails, the loaded one stays. @throws ScissionError the reason. */
  async load(name: string): Promise<void> {
    const [base = '', written] = name.split(':')
    const model = await this.#deps.catalog.model(base)
    const structure = await this.#deps.structures.numbering(model)
    if (!structure) {
      throw new ScissionError(
        'needsInputShapes',
        `model ${model.name} has open input dimensions: it is loaded by the first request that fixes them`,
      )
    }
    const range = written === undefined ? undefined : parseLayerRange(written)
    if (range) checkLayerRange(range, structure)
    const had = this.#unavailable.get(model.id)
    // A range does not bring back the whole model.
    if (!range || had !== UNLOADED) this.#unavailable.delete(model.id)
    try {
      await this.#need(structure, keyOf(model, structure, range))
    } catch (error) {
      // An unload that came meanwhile is the last word.
      if (!this.#unavailable.has(model.id)) this.#unavailable.set(model.id, had ?? coerceError(error).message)
      throw error
    }
  }

  /** Unloads a model or a layer range. @param dependents also unload the layer ranges of the model. */
  async unload(name: string, dependents: boolean): Promise<void> {
    const [base = '', written] = name.split(':')
    const model = await this.#deps.catalog.model(base)
    const range = written === undefined ? undefined : parseLayerRange(written)
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

  /** Ranges that are loaded or being loaded. Does not read Redis. */
  async loaded(): Promise<LoadedRange[]> {
    const found: LoadedRange[] = []
    for (const key of this.#deps.stages.keys()) {
      const entry = await this.#describe(key).catch(unlessNotFound)
      if (entry) found.push(entry)
    }
    return found
  }

  /** @returns undefined if it was unloaded meanwhile. @throws ScissionError notFound if its model was deleted. */
  async #describe(key: RangeKey): Promise<LoadedRange | undefined> {
    const model = await this.#deps.catalog.model(key.model)
    const whole = await this.#isWhole(model, key)
    const state = this.#deps.stages.state(key)
    const name = whole ? model.name : `${model.name}:${key.from}-${key.to}`
    return state && { name, version: String(model.version), state, whole }
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

  async #layersFor(
    model: Model,
    range: LayerRange | undefined,
    inputs: readonly Tensor[],
    patience: Patience,
  ): Promise<ChosenLayers> {
    const { catalog, structures } = this.#deps
    if (range) return structures.forRange(model, range, inputs, patience)
    const own = model.shapesKey ? await catalog.structure(model.id, model.shapesKey) : undefined
    const isBatch = own && this.#takesBatches(model, own) && areItems(own, inputs)
    return { structure: isBatch ? own : await structures.forModel(model, inputs, patience), range }
  }

  /** True if a request may hold several items, which share runs with each other and with other requests. */
  #takesBatches(model: Model, structure: Structure): boolean {
    if (this.#deps.batching.maxBatch === 1) return false
    const known = this.#batchable.get(structure) ?? whyNoBatches(model, structure) === undefined
    this.#batchable.set(structure, known)
    return known
  }

  #refuseUnloaded({ id, name }: Model): void {
    if (this.#unavailable.get(id) !== UNLOADED) return
    throw new ScissionError(
      'notReady',
      `model ${name} is unloaded; POST /v2/repository/models/${name}/load brings it back`,
    )
  }

  #refuseTooMany({ name }: Model, count: number): void {
    const { maxBatch } = this.#deps.batching
    if (count <= Math.max(1, maxBatch)) return
    throw new ScissionError(
      'invalidTensor',
      `inference request batch-size must be <= ${maxBatch} for '${name}', got ${count}`,
      { batch: count, maxBatch },
    )
  }

  #checkReady(model: Model, structure: Structure | undefined, range: LayerRange | undefined): void {
    const reason = this.#unavailable.get(model.id)
    const state = structure && this.#deps.stages.state(keyOf(model, structure, range))
    if (state === 'READY') return
    const why = state === 'LOADING' ? 'loading' : (reason ?? 'not loaded yet')
    throw new ScissionError('notReady', `Model version not ready: ${model.name} is ${why}`)
  }

  async #infer(
    model: Model,
    range: LayerRange | undefined,
    given: Tensor[],
    { signal, deadline }: InferContext,
  ): Promise<{ inference: Inference; ranOn: Structure }> {
    if (!range) this.#refuseUnloaded(model)
    const chosen = await this.#layersFor(model, range, given, { signal, deadline })
    const { structure } = chosen
    const batches = !range && this.#takesBatches(model, structure)
    const inputs =
      (range?.from ?? 0) > 0
        ? given
        : withoutUnread(structure, tensorsAround(structure, undefined, batches).inputs, given)
    const key = keyOf(model, structure, chosen.range)
    // Again, at the moment in which it would be loaded: it may have been unloaded since.
    if (!range) this.#refuseUnloaded(model)
    // Loading may take longer than this request may wait; it continues for the next one.
    const stage = await waitWithin(this.#need(structure, key), { signal, deadline }, (why) =>
      givenUp(`loading ${keyText(key)}`, why),
    )
    if (this.#unavailable.get(model.id) !== UNLOADED) this.#unavailable.delete(model.id)
    const count = batches ? itemsIn(structure, inputs) : 1
    this.#refuseTooMany(model, count)
    const { run, ...work } = await runItems(stage, inputs, count, { signal, deadline })
    const report = reportRun(this.#deps.here, 0, range ?? key, run)
    const largest = Math.max(...work.runs.map(({ size }) => size))
    if (largest > 1) report.batch = largest
    return { inference: { outputs: run.outputs, hops: [report], work }, ranOn: structure }
  }
}

function unlessNotFound(error: unknown): undefined {
  if (!(error instanceof ScissionError) || error.code !== 'notFound') throw error
}

function keyOf(model: Model, structure: Structure, range: LayerRange | undefined): RangeKey {
  const { from, to } = range ?? { from: 0, to: structure.layers.length }
  return { model: model.id, shapesKey: structure.shapesKey, from, to }
}

/** Parses a layer range such as `3-17`. @throws ScissionError invalidRange. */
export function parseLayerRange(text: string): LayerRange {
  const digits = /^(\d{1,9})-(\d{1,9})$/.exec(text)
  if (!digits)
    throw new ScissionError('invalidRange', `"${text}" is not a layer range; write from-to, e.g. 0-12`)
  return { from: Number(digits[1]), to: Number(digits[2]) }
}

/** The tensors of the boundaries around a range, or of the whole model. */
function boundaryTensors(structure: Structure, range: LayerRange | undefined): TargetTensors {
  if (!range) return { inputs: structure.inputs, outputs: structure.outputs }
  return { inputs: tensorsAt(structure, range.from), outputs: tensorsAt(structure, range.to) }
}

/** Inputs and outputs of a model or range. @param batches true if the first dimension is open. */
function tensorsAround(structure: Structure, range: LayerRange | undefined, batches: boolean): TargetTensors {
  const { inputs, outputs } = boundaryTensors(structure, range)
  if (!batches) return { inputs, outputs }
  const open = ({ shape, ...tensor }: TargetTensor) => ({ ...tensor, shape: [-1, ...shape.slice(1)] })
  return { inputs: inputs.map(open), outputs: outputs.map(open) }
}

const declaredTensors = (model: Model): TargetTensors => ({
  inputs: model.inputs.map(declared),
  outputs: model.outputs.map(declared),
})

const declared = (tensor: Model['inputs'][number]): TargetTensor => ({
  ...tensor,
  shape: tensor.shape.map((dim) => (typeof dim === 'string' ? -1 : dim)),
})

function propertiesOf(
  model: Model,
  structure: Structure | undefined,
  range: LayerRange | undefined,
): Record<string, string> {
  return {
    id: model.id,
    ...(structure && { shapesKey: structure.shapesKey, modelLayers: String(structure.layers.length) }),
    ...(range && { layers: `${range.from}-${range.to}` }),
  }
}
