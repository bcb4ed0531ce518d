/**
 * Finds the layers that a request runs on, by the shapes of its tensors: those of a structure with just these shapes, else
 * those of the model's open structure, which take any size of the dimensions that the file leaves open.
 *
 * The benchmark service makes the open structure when the first request needs it. Requests wait for it within their own
 * limits, one analysis of a model at a time; the work goes on for those that come later.
 *
 * The layers of a model with shapes of its own are numbered for these shapes. A range of them runs with other sizes if the
 * open structure has boundaries that the same tensors cross.
 */
import type { DeclaredTensor, InputShapes, TensorSpec } from '../../../../shared/contracts/common.ts'
import type { Model, Structure } from '../../../../shared/contracts/model.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import {
  hasOpenDimensions,
  resolveInputShapes,
  UNKNOWN_RANK,
} from '../../../../shared/onnx/canonical/declared-tensors.ts'
import { openShapesKeyOf, shapesKeyOf } from '../../../../shared/onnx/canonical/shapes-key.ts'
import { openBoundary, sameTensors } from '../../../../shared/onnx/structure/open-boundary.ts'
import { formatInputShapes } from '../../../../shared/contracts/format-input-shapes.ts'
import { waitWithin } from '../../../../shared/platform/deadline.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { KeyedLock } from '../../../../shared/platform/keyed-lock.ts'
import { FairQueue } from '../../../../shared/platform/fair-queue.ts'
import { OWN_WORK } from '../../../../shared/platform/http-server/client-of.ts'
import type { RunOptions } from '../executor/executor.ts'
import { checkInputs, checkNames, checkTensor } from '../executor/check-inputs.ts'
import { givenUp } from '../executor/executor-errors.ts'
import type { Catalog } from './catalog.ts'
import { checkLayerRange } from './layer-range.ts'
import { crossingTensors, layersUnknown } from './model-description.ts'
import type { LayerRange } from './target.ts'
import { entryOf } from '../../../../shared/platform/entry-of.ts'

/** Requests that may wait for analyses; each keeps its tensors in memory. No client has all places. */
const ASKED = { what: 'requests that wait for an analysis of their shapes', atOnce: 64, atOnceOfClient: 48 }

export interface RequestStructureDeps {
  catalog: Pick<Catalog, 'structure' | 'findStructure'>
  /** Asks the benchmark service for the open structure. @param tried shapes to try the model with; its own when absent. */
  analyseOpen: (model: Model, tried: InputShapes | undefined) => Promise<Structure>
}

/** Layers of a structure; without a range all of them. */
export interface ChosenLayers {
  structure: Structure
  range: LayerRange | undefined
}

export class RequestStructures {
  readonly #deps: RequestStructureDeps
  readonly #locks = new KeyedLock()
  readonly #waiting = new FairQueue({ ...ASKED, waiting: 0, waitingOfClient: 0 })

  constructor(deps: RequestStructureDeps) {
    this.#deps = deps
  }

  /** The structure that a model's layers are numbered by: with its own shapes, else the open one; undefined if not known. */
  async numbering(model: Model): Promise<Structure | undefined> {
    return (await this.own(model)) ?? (hasOpenDimensions(model.inputs) ? this.#knownOpen(model) : undefined)
  }

  /**
   * The structure for the inputs of the whole model.
   * @throws ScissionError invalidTensor or badRequest for tensors that contradict the declared inputs; invalidModel if the
   *   model does not run with their shapes; tooManyRequests, overloaded, deadlineExceeded, cancelled.
   */
  async forModel(model: Model, inputs: readonly Tensor[], options: RunOptions): Promise<Structure> {
    const own = await this.own(model)
    if (own && (!hasOpenDimensions(model.inputs) || hasShapes(own, inputs))) return own
    const shapes = Object.fromEntries(inputs.map(({ name, shape }) => [name, shape]))
    const analysed = await this.#deps.catalog.findStructure(model.id, shapesKeyOf(shapes))
    if (analysed) return analysed
    checkDeclared(model, inputs)
    return this.#open(model, own ? undefined : shapes, options)
  }

  /**
   * The layers for the tensors of boundary `range.from`.
   * @throws ScissionError as `forModel`; needsInputShapes if the layers of the model are not known yet; invalidRange if
   *   there are no such layers, or none for these sizes.
   */
  async forRange(
    model: Model,
    range: LayerRange,
    inputs: readonly Tensor[],
    options: RunOptions,
  ): Promise<ChosenLayers> {
    const own = await this.own(model)
    if (own) {
      const isFixed =
        !hasOpenDimensions(model.inputs) || !differInSizes(crossingTensors(own, range.from), inputs)
      if (isFixed) return { structure: own, range }
      const open = await this.#open(model, undefined, options)
      return { structure: open, range: sameRange(model, own, range, open) }
    }
    if (range.from === 0) checkDeclared(model, inputs)
    const shapes = Object.fromEntries(inputs.map(({ name, shape }) => [name, shape]))
    const known = range.from === 0 ? this.#open(model, shapes, options) : this.#knownOpen(model)
    const structure = await known
    if (!structure) throw layersUnknown(model)
    checkLayerRange(range, structure)
    return { structure, range }
  }

  /** The structure for the model's own shapes; undefined if it has none. */
  async own({ id, shapesKey }: Model): Promise<Structure | undefined> {
    return shapesKey ? this.#deps.catalog.structure(id, shapesKey) : undefined
  }

  #knownOpen(model: Model): Promise<Structure | undefined> {
    return this.#deps.catalog.findStructure(model.id, openShapesKeyOf(model.inputs))
  }

  async #open(model: Model, tried: InputShapes | undefined, options: RunOptions): Promise<Structure> {
    const { client = OWN_WORK.client, signal, deadline } = options
    const known = await this.#knownOpen(model)
    if (known) return known
    const late = () => givenUp(`analysing model ${model.name} with open dimensions`, 'late')
    const work = async () => {
      if (deadline !== undefined && performance.now() >= deadline) throw late()
      // A request that waited before this one may have had it made.
      return (await this.#knownOpen(model)) ?? this.#analyse(model, tried)
    }
    const made = this.#waiting.run({ client, gone: signal }, () => this.#locks.run(model.id, work, signal))
    return waitWithin(made, options, (why) =>
      givenUp(`analysing model ${model.name} with open dimensions`, why),
    )
  }

  async #analyse(model: Model, tried: InputShapes | undefined): Promise<Structure> {
    try {
      return await this.#deps.analyseOpen(model, tried)
    } catch (error) {
      if (!(error instanceof ScissionError) || error.code !== 'peerUnavailable') throw error
      throw new ScissionError(
        'peerUnavailable',
        `model ${model.name} was not analysed for other shapes than ${analysedFor(model)}, and cannot be now: ` +
          `${error.message}; SCISSION_BENCHMARK_URL says where the benchmark service is`,
        error.details,
        error,
      )
    }
  }
}

const analysedFor = ({ inputShapes }: Model): string =>
  inputShapes ? formatInputShapes(inputShapes) : 'those it was asked for explicitly'

function hasShapes({ inputShapes }: Structure, tensors: readonly Tensor[]): boolean {
  return tensors.every(({ name, shape }) => entryOf(inputShapes, name)?.join() === shape.join())
}

/** True if tensors of the boundary have other sizes. Whatever else is wrong with them is for checkInputs to name. */
function differInSizes(specs: readonly TensorSpec[], tensors: readonly Tensor[]): boolean {
  return tensors.some(({ name, shape }) => {
    const spec = specs.find((one) => one.name === name)
    if (spec?.shape.length !== shape.length) return false
    return spec.shape.some((dim, axis) => dim !== -1 && dim !== shape[axis])
  })
}

/**
 * Compares tensors with the inputs as the file declares them. One that is missing may be one that nothing reads.
 * @throws ScissionError invalidTensor, or badRequest for sizes that contradict each other.
 */
export function checkDeclared({ inputs }: Model, tensors: readonly Tensor[]): void {
  const shapes = Object.fromEntries(tensors.map(({ name, shape }) => [name, shape]))
  const specs = inputs.map((input) => declaredSpec(input, entryOf(shapes, input.name)))
  const known = checkNames({ inputs: specs }, tensors)
  for (const tensor of tensors) {
    const spec = known.get(tensor.name)
    if (spec) checkTensor(spec, tensor)
  }
  try {
    resolveInputShapes(inputs, shapes)
  } catch (error) {
    // The sizes of an input that is missing do not follow from the others.
    if (error instanceof ScissionError && error.code === 'needsInputShapes')
      checkInputs({ inputs: specs }, tensors)
    throw error
  }
}

function declaredSpec({ name, datatype, shape }: DeclaredTensor, given: number[] | undefined): TensorSpec {
  const open = shape[0] === UNKNOWN_RANK && given ? given.map(() => UNKNOWN_RANK) : shape
  return { name, datatype, shape: open.map((dim) => (typeof dim === 'string' ? -1 : dim)), bytes: 0 }
}

/** A range of `own` in the numbering of `open`. @throws ScissionError invalidRange if other tensors cross there. */
function sameRange(model: Model, own: Structure, range: LayerRange, open: Structure): LayerRange {
  const boundary = (k: number): number => {
    const found = openBoundary(own, k, open)
    if (found !== undefined && sameTensors(own.boundaries[k], open.boundaries[found])) return found
    throw new ScissionError(
      'invalidRange',
      `layers ${range.from}-${range.to} of ${model.name} are numbered for its own input shapes; with others the model has ` +
        `${open.layers.length} layers, and no boundary that just the tensors of boundary ${k} cross ` +
        `(${own.boundaries[k]?.tensors.join(', ')}). Cut it elsewhere, or have these shapes analysed and send them to the ` +
        'whole model',
      { boundary: k, layers: open.layers.length },
    )
  }
  return { from: boundary(range.from), to: boundary(range.to) }
}
