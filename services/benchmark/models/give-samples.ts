/**
 * Gives a model samples after its upload, and takes them away. Both analyse the model again, because its trial run and its
 * made-up values depend on them; they count only if that succeeds. Structures with other shapes than the model's own are
 * made again when they are next asked for, and profiles say which samples they were measured with.
 */
import type { InputShapes } from '../../../shared/contracts/common.ts'
import type { Model, Samples, Structure, UploadedModel } from '../../../shared/contracts/model.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { Grant } from '../../../shared/platform/access/holdings.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Asker } from '../../../shared/platform/fair-queue.ts'
import { describeSamples } from '../../../shared/onnx/sample-inputs/samples.ts'
import { type State, structureId } from '../../../shared/platform/redis/state.ts'
import type { Analyses } from './analyses.ts'
import { analysedIfKnown } from './first-shapes.ts'
import type { ModelStore } from './model-store.ts'
import type { Registry } from './registry.ts'
import { withFindings } from './with-findings.ts'
import { checkSamples } from '../samples/check-samples.ts'

export interface SampleDeps {
  store: ModelStore
  registry: Registry
  analyses: Analyses
  state: State
}

/**
 * To be called under the model's lock in `uploads`.
 * @param shapes the model's own shapes from now on; without, it keeps those it has, else it gets those of the samples.
 * @param grant of bytes for the samples.
 * @throws ScissionError invalidTensor for samples that do not fit, tooManyRequests, invalidModel if the model does not run on them; then
 *   it keeps those that it had.
 */
export async function giveSamples(
  deps: SampleDeps,
  model: Model,
  given: readonly Tensor[],
  shapes: InputShapes | undefined,
  asker: Asker,
  { owner, bytes: mayTake, tooManyBytes }: Grant,
): Promise<UploadedModel> {
  const { samples: described, data } = describeSamples(checkSamples(model.inputs, given))
  const samples = { ...described, owner }
  if (samples.bytes > mayTake) throw tooManyBytes()
  await deps.store.writeSamples(deps.store.folder(model.id), samples, data)
  try {
    const structure = await analysedIfKnown(
      model.inputs,
      shapes ?? model.inputShapes ?? undefined,
      samples,
      (known) => deps.analyses.withSamples(model, known, samples, asker),
    )
    return await keep(deps, model, samples, structure)
  } catch (thrown) {
    await deps.store.keepSamples(model.id, model.samples)
    throw thrown
  }
}

/**
 * To be called under the model's lock in `uploads`.
 * @throws ScissionError conflict if the model does not run on made-up values.
 */
export async function takeSamples(deps: SampleDeps, model: Model, asker: Asker): Promise<void> {
  if (!model.samples) return
  const own = model.inputShapes
  const structure =
    own && (await deps.analyses.withSamples(model, own, undefined, asker).catch(refuseToTake(model)))
  await keep(deps, model, undefined, structure)
}

const refuseToTake = (model: Model) => (thrown: unknown) => {
  if (!(thrown instanceof ScissionError) || thrown.code !== 'invalidModel') throw thrown
  throw new ScissionError(
    'conflict',
    `model ${model.name} needs its samples: ${thrown.message}; give it others with PUT /v1/models/${model.id}/samples`,
    thrown.details,
    thrown,
  )
}

async function keep(
  { registry, state }: SampleDeps,
  model: Model,
  samples: Samples | undefined,
  structure: Structure | null,
): Promise<UploadedModel> {
  const changed = await registry.setSamples(model.id, samples, structure)
  if (structure) await state.structures.put(structureId(model.id, structure.shapesKey), structure)
  return withFindings(changed, structure)
}
