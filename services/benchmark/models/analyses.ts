/**
 * Analyses models to structures. Each pair of model and input shapes is analysed once, in a child process that is then
 * discarded. The structure is kept on disk beside the model, and in Redis for the planner and the inference services.
 */
import pLimit from 'p-limit'
import type { InputShapes, ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import type { Model, Structure } from '../../../shared/contracts/model.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { analyseInChild, resolveInputShapes, shapesKeyOf } from '../../../shared/onnx/index.ts'
import { KeyedLock } from '../../../shared/platform/keyed-lock.ts'
import { type State, structureId } from '../../../shared/platform/redis/state.ts'
import { MODEL_FILE, type ModelStore } from './model-store.ts'
import { OpenAnalyses } from './open-analyses.ts'

/** Few, because each analysis may use the whole memory limit; more than one, so that a model that hangs delays no other. */
const MAX_CONCURRENT_ANALYSES = 2

export interface AnalysisLimits {
  timeoutMs: number
  memoryLimitBytes: number
}

export class Analyses {
  readonly #store: ModelStore
  readonly #state: State
  readonly #limits: AnalysisLimits
  readonly #locks = new KeyedLock()
  readonly #limit = pLimit(MAX_CONCURRENT_ANALYSES)
  readonly #stop = new AbortController()
  readonly #open: OpenAnalyses

  constructor(store: ModelStore, state: State, limits: AnalysisLimits) {
    this.#store = store
    this.#state = state
    this.#limits = limits
    const analyse = (model: Model, tried: InputShapes) =>
      this.#stored(model.id, () => this.#inChild(store.folder(model.id), model.id, tried, true))
    this.#open = new OpenAnalyses({ store, state, analyse })
  }

  /**
   * Analyses the model in `folder`, which may still be outside the store. Writes the canonical file and the structure
   * into that folder.
   * @throws ScissionError invalidModel, needsInputShapes
   */
  analyseFolder(folder: string, model: ModelId, inputShapes: InputShapes): Promise<Structure> {
    return this.#limit(() => this.#inChild(folder, model, inputShapes, false))
  }

  /**
   * The model's structure for the given input shapes, or for the model's own.
   * @throws ScissionError needsInputShapes, badRequest, invalidModel
   */
  async structure(model: Model, given?: InputShapes): Promise<Structure> {
    if (given === undefined && model.inputShapes !== null && model.shapesKey !== null)
      return this.#ensure(model, model.inputShapes, model.shapesKey)
    const shapes = resolveInputShapes(model.inputs, given)
    return this.#ensure(model, shapes, shapesKeyOf(shapes))
  }

  /** The structure with the dimensions open that the file leaves open. Parameters and errors as `OpenAnalyses.structure`. */
  open(model: Model, tried?: InputShapes): Promise<Structure> {
    return this.#open.structure(model, tried)
  }

  /** @throws ScissionError notFound if the model was never analysed with these shapes. */
  async byKey(model: Model, key: ShapesKey): Promise<Structure> {
    if (key === model.shapesKey && model.inputShapes !== null) return this.structure(model)
    const found = await this.#store.structure(model.id, key)
    if (found) return found
    throw new ScissionError(
      'notFound',
      `model ${model.name} was never analysed with the input shapes that ${key} stands for; ` +
        'ask for its layers with those shapes first',
      { shapesKey: key },
    )
  }

  /** Ends all running analyses. */
  close(): void {
    this.#stop.abort()
  }

  async #ensure(model: Model, shapes: InputShapes, key: ShapesKey): Promise<Structure> {
    const id = structureId(model.id, key)
    const known = await this.#state.structures.find(id)
    if (known) return known
    return this.#locks.run(id, async () => {
      const onDisk = await this.#store.structure(model.id, key)
      const make = () => this.analyseFolder(this.#store.folder(model.id), model.id, shapes)
      const structure = onDisk ?? (await this.#stored(model.id, make))
      await this.#state.structures.put(id, structure)
      return structure
    })
  }

  #inChild(dir: string, model: ModelId, inputShapes: InputShapes, open: boolean): Promise<Structure> {
    const request = { dir, file: MODEL_FILE, model, inputShapes, open }
    return analyseInChild({ ...request, ...this.#limits, signal: this.#stop.signal })
  }

  /** Runs an analysis of a model in the store. */
  async #stored(id: ModelId, analyse: () => Promise<Structure>): Promise<Structure> {
    await this.#store.needRecord(id)
    try {
      return await analyse()
    } catch (thrown) {
      // The files of a model that is deleted meanwhile are gone: that is no fault of the model or of this service.
      await this.#store.needRecord(id)
      throw thrown
    }
  }
}
