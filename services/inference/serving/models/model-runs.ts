/** Runs requests to whole models and layer ranges: chooses the layers, loads them, and runs one item or several. */
import type { Structure } from '../../../../shared/contracts/model.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { waitWithin } from '../../../../shared/platform/deadline.ts'
import { areItems, itemsIn, runItems } from '../batching/items.ts'
import type { RunOptions } from '../executor/executor.ts'
import { givenUp } from '../executor/executor-errors.ts'
import type { Asked, LoadedModels } from './loaded-models.ts'
import { type ModelBatches, refuseTooMany } from './model-batches.ts'
import { tensorsAt } from './model-description.ts'
import type { RequestStructures } from './request-structures.ts'
import { type Here, type InferContext, type Inference, type LayerRange, reportRun } from './target.ts'
import type { HeldStage } from './stages.ts'
import { withoutUnread } from './unread-inputs.ts'
import { refuseUnknownOutputs } from './wanted-outputs.ts'

export interface ModelRunsDeps {
  here: Here
  structures: RequestStructures
  loaded: LoadedModels
  batches: ModelBatches
}

/** An inference, and the structure whose layers ran. */
export interface Ran {
  inference: Inference
  ranOn: Structure
}

export class ModelRuns {
  readonly #deps: ModelRunsDeps

  constructor(deps: ModelRunsDeps) {
    this.#deps = deps
  }

  /**
   * @param range undefined means the whole model, whose requests may hold several items.
   * @throws ScissionError invalidTensor for an output that it does not have; as `RequestStructures.forModel` and `forRange`,
   *   `LoadedModels.stageFor` and `HeldStage.run`.
   */
  async infer(
    { model, asked, name }: Asked & { name: string },
    range: LayerRange | undefined,
    given: Tensor[],
    { client, signal, deadline, outputs: wanted = [] }: InferContext,
  ): Promise<Ran> {
    const { loaded, structures } = this.#deps
    const options = { client, signal, deadline }
    if (!range) {
      loaded.refuseUnloaded({ model, asked })
      const several = await this.#inferSeveral({ model, asked }, given, options)
      if (several) return several
    }
    const chosen = range
      ? await structures.forRange(model, range, given, options)
      : { structure: await structures.forModel(model, given, options), range }
    const { structure } = chosen
    refuseUnknownOutputs(name, wanted, tensorsAt(structure, chosen.range, false).outputs)
    const inputs = (range?.from ?? 0) > 0 ? given : withoutUnread(structure, structure.inputs, given)
    const stage = await loaded.stageFor({ model, asked }, structure, chosen.range, options)
    return { inference: await this.#run(stage, inputs, 1, options, range), ranOn: structure }
  }

  /**
   * Runs a request of several items, each of which may share its run with others.
   * @returns undefined if it holds one item, or items of other sizes than the model's own.
   * @throws ScissionError invalidTensor for more items than were found to be computed together as one by one: what several
   *   items mean to a model that mixes them is not known.
   */
  async #inferSeveral(
    { model, asked }: Asked,
    given: Tensor[],
    options: RunOptions,
  ): Promise<Ran | undefined> {
    const { batches, loaded, structures } = this.#deps
    const structure = await structures.own(model)
    const count = structure && batches.mayBatch(model, structure) ? itemsIn(structure, given) : 1
    if (!structure || count === 1) return undefined
    const stage = await loaded.stageFor({ model, asked }, structure, undefined, options)
    const verdict = await waitWithin(stage.checkBatches(), options, (why) =>
      givenUp(`trying batches of ${model.name}`, why),
    )
    // Of other sizes than the model's own, they run on other layers, all at once: but they mean the same.
    const areOfOwnSizes = areItems(structure, given)
    if (areOfOwnSizes || verdict.largest === 1) refuseTooMany(asked, count, verdict)
    if (!areOfOwnSizes) return undefined
    const inputs = withoutUnread(structure, tensorsAt(structure, undefined, true).inputs, given)
    return { inference: await this.#run(stage, inputs, count, options), ranOn: structure }
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
