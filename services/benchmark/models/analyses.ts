/**
 * Analyses models to structures. Each pair of model and input shapes is analysed once, in a child process that is then
 * discarded. The structure is kept on disk beside the model, and in Redis for the planner and the inference services.
 */
import type { InputShapes, ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import type { Model, Samples, Structure } from '../../../shared/contracts/model.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import {
  analyseInChild,
  type AnalyseRequest,
  resolveInputShapes,
  shapesKeyOf,
} from '../../../shared/onnx/index.ts'
import { type Asker, FairQueue } from '../../../shared/platform/fair-queue.ts'
import { KeyedLock } from '../../../shared/platform/keyed-lock.ts'
import { type State, structureId } from '../../../shared/platform/redis/state.ts'
import { MODEL_FILE, type ModelStore } from './model-store.ts'
import { OpenAnalyses } from './open-analyses.ts'

/** Few, because each analysis may use the whole memory limit; more than one, so that a client whose models hang delays no other. */
const LIMITS = { what: 'analyses', atOnce: 2, waiting: 256, waitingOfClient: 64 }

export interface AnalysisLimits {
  timeoutMs: number
  memoryLimitBytes: number
}

export class Analyses {
  readonly #store: ModelStore
  readonly #state: State
  readonly #limits: AnalysisLimits
  readonly #locks = new KeyedLock()
  readonly #queue = new FairQueue(LIMITS)
  readonly #stop = new AbortController()
  readonly #open: OpenAnalyses

  constructor(store: ModelStore, state: State, limits: AnalysisLimits) {
    this.#store = store
    this.#state = state
    this.#limits = limits
    const analyse = (model: Model, tried: InputShapes) =>
      this.#store.working(model.id, async () => {
        // The samples may have changed since the caller read the record: only the newest are in the folder.
        const { samples } = await store.needRecord(model.id)
        return this.#inChild(store.folder(model.id), model.id, { inputShapes: tried, open: true, samples })
      })
    this.#open = new OpenAnalyses({ store, state, analyse })
  }

  /**
   * Analyses the model in `folder`, which may still be outside the store and which holds the data of its samples. Writes
   * the canonical file and the structure into that folder.
   * @throws ScissionError invalidModel, needsInputShapes; tooManyRequests or overloaded if too many wait
   */
  analyseFolder(
    folder: string,
    model: ModelId,
    inputShapes: InputShapes,
    samples: Samples | undefined,
    asker: Asker,
  ): Promise<Structure> {
    return this.#queue.run(asker, () => this.#inChild(folder, model, { inputShapes, samples }))
  }

  /**
   * The model's structure for the given input shapes, or for the model's own.
   * @throws ScissionError needsInputShapes, badRequest, invalidModel
   */
  async structure(model: Model, asker: Asker, given?: InputShapes): Promise<Structure> {
    if (given === undefined && model.inputShapes !== null && model.shapesKey !== null)
      return this.#ensure(model, model.inputShapes, model.shapesKey, asker)
    const shapes = resolveInputShapes(model.inputs, given)
    return this.#ensure(model, shapes, shapesKeyOf(shapes), asker)
  }

  /**
   * The same without any analysis: what was made before, for these samples; undefined if nothing was.
   * @throws ScissionError needsInputShapes, badRequest
   */
  async find(model: Model, given?: InputShapes): Promise<Structure | undefined> {
    const own = given === undefined && model.inputShapes !== null ? model.shapesKey : null
    const key = own ?? shapesKeyOf(resolveInputShapes(model.inputs, given))
    const id = structureId(model.id, key)
    const known = await this.#state.structures.find(id)
    return known && isCurrent(known, model) ? known : this.#onDisk(model, key)
  }

  /** The structure with the dimensions open that the file leaves open. Parameters and errors as `OpenAnalyses.structure`. */
  open(model: Model, asker: Asker, tried?: InputShapes): Promise<Structure> {
    return this.#open.structure(model, asker, tried)
  }

  /** The same without any analysis. @throws ScissionError badRequest if the file leaves nothing open. */
  findOpen(model: Model): Promise<Structure | undefined> {
    return this.#open.find(model)
  }

  /** @throws ScissionError notFound if the model was never analysed with these shapes. */
  async byKey(model: Model, key: ShapesKey, asker: Asker): Promise<Structure> {
    if (key === model.shapesKey && model.inputShapes !== null) return this.structure(model, asker)
    const found = await this.#store.structure(model.id, key)
    if (found) return found
    throw new ScissionError(
      'notFound',
      `model ${model.name} was never analysed with the input shapes that ${key} stands for; ` +
        'have it analysed with those shapes first: POST its layers',
      { shapesKey: key },
    )
  }

  /** Ends all running analyses. */
  close(): void {
    this.#stop.abort()
  }

  /**
   * Analyses the model anew with other samples than it has. @returns the structure; the caller makes both count.
   * @throws ScissionError invalidModel if the model does not run on them, needsInputShapes.
   */
  withSamples(
    { id }: Model,
    shapes: InputShapes,
    samples: Samples | undefined,
    asker: Asker,
  ): Promise<Structure> {
    return this.#analyseStored(id, shapes, samples, asker)
  }

  /** One that was made with other samples than the model has now is made again. */
  async #ensure(model: Model, shapes: InputShapes, key: ShapesKey, asker: Asker): Promise<Structure> {
    const id = structureId(model.id, key)
    const known = await this.#state.structures.find(id)
    if (known && isCurrent(known, model)) return known
    return this.#locks.run(id, async () => {
      const onDisk = await this.#onDisk(model, key)
      if (onDisk) return onDisk
      // The samples may have changed since the caller read the record: only the newest are in the folder.
      const { samples } = await this.#store.needRecord(model.id)
      const structure = await this.#analyseStored(model.id, shapes, samples, asker)
      await this.#state.structures.put(id, structure)
      return structure
    })
  }

  /** One of the folder is put into Redis again. */
  async #onDisk(model: Model, key: ShapesKey): Promise<Structure | undefined> {
    const found = await this.#store.structure(model.id, key)
    if (!found || !isCurrent(found, model)) return undefined
    await this.#state.structures.put(structureId(model.id, key), found)
    return found
  }

  #analyseStored(
    id: ModelId,
    shapes: InputShapes,
    samples: Samples | undefined,
    asker: Asker,
  ): Promise<Structure> {
    return this.#store.working(id, () =>
      this.analyseFolder(this.#store.folder(id), id, shapes, samples, asker),
    )
  }

  #inChild(
    dir: string,
    model: ModelId,
    how: Omit<AnalyseRequest, 'dir' | 'file' | 'model'>,
  ): Promise<Structure> {
    const request = { dir, file: MODEL_FILE, model, ...how }
    return analyseInChild({ ...request, ...this.#limits, signal: this.#stop.signal })
  }
}

const isCurrent = ({ samples }: Structure, model: Model): boolean => samples === model.samples?.sha256
