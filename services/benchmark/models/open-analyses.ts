/**
 * Analyses that leave open what a model's file leaves open: one per model, whose layers take any size of these dimensions.
 *
 * An inference service asks for one when a request has a shape that nobody analysed, with the shape of that request to try
 * the model with. Such shapes come from clients. So these analyses run one at a time for each client, beside those of uploads; few
 * may wait; and a shape that failed is remembered for a while. What is stored does not grow with the shapes that clients send.
 */
import { LRUCache } from 'lru-cache'
import type { InputShapes } from '../../../shared/contracts/common.ts'
import { formatInputShapes } from '../../../shared/contracts/format-input-shapes.ts'
import type { Model, Structure } from '../../../shared/contracts/model.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import {
  hasOpenDimensions,
  openShapesKeyOf,
  resolveInputShapes,
  shapesKeyOf,
} from '../../../shared/onnx/index.ts'
import { type Asker, FairQueue } from '../../../shared/platform/fair-queue.ts'
import { KeyedLock } from '../../../shared/platform/keyed-lock.ts'
import { type State, structureId } from '../../../shared/platform/redis/state.ts'
import type { ModelStore } from './model-store.ts'

/** Two at once, of two clients. */
const LIMITS = {
  what: 'analyses of models with open dimensions',
  atOnce: 2,
  waiting: 64,
  waitingOfClient: 16,
}
/** Requests of a client that may wait for an analysis, its own or that of another: mostly those for one model wait for the same. */
const ASKED = { what: LIMITS.what, atOnce: Infinity, atOnceOfClient: 16, waiting: 0, waitingOfClient: 0 }
/** ms for which a shape that failed is not tried again. */
const REMEMBERED_MS = 60_000
const MAX_REMEMBERED_COUNT = 1000

export interface OpenAnalysisDeps {
  store: Pick<ModelStore, 'structure'>
  state: Pick<State, 'structures'>
  /** Analyses the stored model with open dimensions, and tries it with these shapes. */
  analyse: (model: Model, tried: InputShapes) => Promise<Structure>
}

export class OpenAnalyses {
  readonly #deps: OpenAnalysisDeps
  readonly #locks = new KeyedLock()
  readonly #queue = new FairQueue(LIMITS)
  readonly #failed = new LRUCache<string, ScissionError>({ max: MAX_REMEMBERED_COUNT, ttl: REMEMBERED_MS })
  readonly #asked = new FairQueue(ASKED)

  constructor(deps: OpenAnalysisDeps) {
    this.#deps = deps
  }

  /** The structure if it was made before. @throws ScissionError badRequest if the file leaves nothing open. */
  async find(model: Model): Promise<Structure | undefined> {
    refuseClosed(model)
    const known = await this.#deps.state.structures.find(openStructureId(model))
    return known ?? this.#deps.store.structure(model.id, openShapesKeyOf(model.inputs))
  }

  /**
   * @param tried shapes with which the model is tried if it was not analysed yet; its own when absent.
   * @throws ScissionError badRequest if the file leaves nothing open or the shapes contradict it; needsInputShapes without
   *   any shapes; invalidModel if it does not run with them; tooManyRequests or overloaded if too many requests wait.
   */
  async structure(model: Model, asker: Asker, tried?: InputShapes): Promise<Structure> {
    refuseClosed(model)
    const known = await this.#deps.state.structures.find(openStructureId(model))
    if (known) return known
    const shapes = tried ? resolveInputShapes(model.inputs, tried) : (model.inputShapes ?? {})
    if (!tried && model.inputShapes === null) resolveInputShapes(model.inputs)
    return this.#asked.run(asker, () => this.#locks.run(model.id, () => this.#make(model, shapes, asker)))
  }

  async #make(model: Model, shapes: InputShapes, asker: Asker): Promise<Structure> {
    const { store, state, analyse } = this.#deps
    const id = openStructureId(model)
    // A request that waited before this one may have made it.
    const known = await state.structures.find(id)
    if (known) return known
    const onDisk = await store.structure(model.id, openShapesKeyOf(model.inputs))
    const structure =
      onDisk ?? (await this.#try(model, shapes, () => this.#queue.run(asker, () => analyse(model, shapes))))
    await state.structures.put(id, structure)
    return structure
  }

  async #try(model: Model, shapes: InputShapes, work: () => Promise<Structure>): Promise<Structure> {
    // Other samples may be inputs that the model runs with.
    const key = `${structureId(model.id, shapesKeyOf(shapes))} ${model.samples?.sha256 ?? ''}`
    const before = this.#failed.get(key)
    if (before) throw before
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof ScissionError) || error.code !== 'invalidModel') throw error
      const refusal = new ScissionError(
        'invalidModel',
        `model ${model.name} with ${formatInputShapes(shapes)}: ${error.message}; ` +
          `this shape is not tried again for ${REMEMBERED_MS / 1000} s`,
        { ...error.details, inputShapes: shapes },
        error,
      )
      this.#failed.set(key, refusal)
      throw refusal
    }
  }
}

function refuseClosed(model: Model): void {
  if (hasOpenDimensions(model.inputs)) return
  throw new ScissionError(
    'badRequest',
    `model ${model.name} leaves no dimension open: ask for its layers without open=true`,
  )
}

const openStructureId = (model: Pick<Model, 'id' | 'inputs'>): string =>
  structureId(model.id, openShapesKeyOf(model.inputs))
