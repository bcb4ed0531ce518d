/**
 * Structures of models: analysed once per (model, input shapes), in a throw-away child, then kept on disk beside the
 * model and in Redis, where the planner and the inference services read them.
 */
import type { InputShapes, ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import type { Model, Structure } from '../../../shared/contracts/model.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { analyseInChild, resolveInputShapes, shapesKeyOf } from '../../../shared/onnx/index.ts'
import { type State, structureId } from '../../../shared/platform/redis/state.ts'
import { KeyedLock } from '../../../shared/platform/keyed-lock.ts'
import { Slots } from '../slots.ts'
import { MODEL_FILE } from './location.ts'
import type { ModelStore } from './model-store.ts'

/** Each may take the memory limit, so few at a time; more than one, so that a model that hangs delays nobody. */
const ANALYSES_AT_ONCE = 2

export interface AnalysisLimits {
  timeoutMs: number
  memoryLimitBytes: number
}

export class Analyses {
  readonly #store: ModelStore
  readonly #state: State
  readonly #limits: AnalysisLimits
  readonly #locks = new KeyedLock()
  readonly #slots = new Slots(ANALYSES_AT_ONCE)
  readonly #stop = new AbortController()

  constructor(store: ModelStore, state: State, limits: AnalysisLimits) {
    this.#store = store
    this.#state = state
    this.#limits = limits
  }

  /**
   * Analyses the model in `folder`, which need not be in the store yet; the canonical file and the structure are
   * written beside it.
   * @throws ScissionError invalidModel, needsInputShapes
   */
  analyseFolder(folder: string, model: ModelId, inputShapes: InputShapes): Promise<Structure> {
    return this.#slots.use(() =>
      analyseInChild({
        dir: folder,
        file: MODEL_FILE,
        model,
        inputShapes,
        ...this.#limits,
        signal: this.#stop.signal,
      }),
    )
  }

  /**
   * The structure under the given shapes, or under the model's own.
   * @throws ScissionError needsInputShapes, badRequest, invalidModel
   */
  async structure(model: Model, given?: InputShapes): Promise<Structure> {
    if (given === undefined && model.inputShapes !== null && model.shapesKey !== null)
      return this.#ensure(model, model.inputShapes, model.shapesKey)
    const shapes = resolveInputShapes(model.inputs, given)
    return this.#ensure(model, shapes, shapesKeyOf(shapes))
  }

  /** @throws ScissionError notFound when the model was never analysed with these shapes. */
  async byKey(model: Model, key: ShapesKey): Promise<Structure> {
    if (key === model.shapesKey && model.inputShapes !== null) return this.structure(model)
    const found = await this.#find(model.id, key)
    if (found) return found
    throw new ScissionError(
      'notFound',
      `model ${model.name} was never analysed with the input shapes that ${key} stands for; ` +
        'ask for its layers with those shapes first',
      { shapesKey: key },
    )
  }

  /** Ends the children that are at work. */
  close(): void {
    this.#stop.abort()
  }

  async #ensure(model: Model, shapes: InputShapes, key: ShapesKey): Promise<Structure> {
    const id = structureId(model.id, key)
    const known = await this.#state.structures.get(id)
    if (known) return known
    return this.#locks.run(id, async () => {
      const onDisk = await this.#find(model.id, key)
      const structure = onDisk ?? (await this.#analyse(model, shapes))
      await this.#state.structures.put(id, structure)
      return structure
    })
  }

  async #analyse(model: Model, shapes: InputShapes): Promise<Structure> {
    await this.#store.needRecord(model.id)
    return this.analyseFolder(this.#store.folder(model.id), model.id, shapes)
  }

  async #find(model: ModelId, key: ShapesKey): Promise<Structure | undefined> {
    return this.#store.structure(model, key)
  }
}
