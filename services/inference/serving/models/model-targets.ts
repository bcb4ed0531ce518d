/**
 * Whole models and layer ranges as targets. A name is `model`, `model@version` or an id, each with an optional `:from-to` for
 * a layer range, so that every client can use a range like a model.
 */
import { hasOpenDimensions } from '../../../../shared/onnx/canonical/declared-tensors.ts'
import type { Catalog } from './catalog.ts'
import { checkLayerRange } from './layer-range.ts'
import type { LoadedModels } from './loaded-models.ts'
import type { ModelBatches } from './model-batches.ts'
import { declaredTensors, layersUnknown, openInputs, propertiesOf, tensorsAt } from './model-description.ts'
import { ModelRuns, type ModelRunsDeps } from './model-runs.ts'
import type { RequestStructures } from './request-structures.ts'
import type { BatchingFacts, LayerRange, Target, Targets } from './target.ts'
import { parseTargetName } from './target-name.ts'

export interface ModelTargetDeps extends ModelRunsDeps {
  catalog: Catalog
  structures: RequestStructures
  loaded: LoadedModels
  batches: ModelBatches
  batching: BatchingFacts
}

export class ModelTargets implements Targets {
  readonly #deps: ModelTargetDeps
  readonly #runs: ModelRuns

  constructor(deps: ModelTargetDeps) {
    this.#deps = deps
    this.#runs = new ModelRuns(deps)
  }

  /** @throws ScissionError notFound, invalidRange. */
  async find(name: string, version?: string, layers?: LayerRange): Promise<Target> {
    const { catalog, structures, loaded, batches, batching } = this.#deps
    const { base, range } = parseTargetName(name, layers)
    const named = await catalog.named(base, version)
    const { model } = named
    // As clients may call this very file: the highest version of its name may be another.
    const asked = version !== undefined && base === named.name ? `${base}@${version}` : base
    // The first request of a model with open dimensions has it analysed.
    const numbering = await structures.numbering(model)
    if (range && numbering) checkLayerRange(range, numbering)
    let structure = numbering
    const largest = () => (structure && !range ? batches.largest(model, structure) : 1)
    const ownName = range ? `${base}:${range.from}-${range.to}` : base
    return {
      name: ownName,
      version: String(named.version),
      versions: () => catalog.versions(base),
      tensors: () => {
        if (structure) return tensorsAt(structure, range, largest() > 1)
        if (range) throw layersUnknown(model)
        return declaredTensors(model)
      },
      ...(range && { knowsOutputs: () => structure !== undefined }),
      get batching() {
        const maxBatch = largest()
        return maxBatch > 1 ? { maxBatch, batchDelayMs: batching.batchDelayMs } : undefined
      },
      ...(numbering &&
        !range &&
        batching.maxBatch > 1 && { checkBatching: () => batches.check(model, numbering) }),
      ...(hasOpenDimensions(model.inputs) && { takes: () => openInputs(model, structure, range) }),
      properties: async () => propertiesOf(model, structure, range),
      checkReady: () => loaded.checkReady({ model, asked }, structure, range),
      infer: async (inputs, context) => {
        const called = { model, asked, name: ownName }
        const { inference, ranOn } = await this.#runs.infer(called, range, inputs, context)
        structure ??= ranOn
        return inference
      },
    }
  }
}
