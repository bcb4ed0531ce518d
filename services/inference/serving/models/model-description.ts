/** How models and layer ranges describe themselves to clients: tensors and properties. */
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import type { Model, Structure } from '../../../../shared/contracts/model.ts'
import { UNKNOWN_RANK } from '../../../../shared/onnx/canonical/declared-tensors.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import type { LayerRange, TargetTensor, TargetTensors } from './target.ts'

/** The tensors of the boundaries around a range, or of the whole model. */
export function boundaryTensors(structure: Structure, range: LayerRange | undefined): TargetTensors {
  if (!range) return { inputs: structure.inputs, outputs: structure.outputs }
  return { inputs: crossingTensors(structure, range.from), outputs: crossingTensors(structure, range.to) }
}

/** The tensors of boundary `k`. */
export function crossingTensors(structure: Structure, k: number): TensorSpec[] {
  const known = tensorsOf(structure)
  return (structure.boundaries[k]?.tensors ?? []).flatMap((name) => known.get(name) ?? [])
}

/** Inputs and outputs of a model or range. @param batches true if the first dimension is open. */
export function tensorsAt(
  structure: Structure,
  range: LayerRange | undefined,
  batches: boolean,
): TargetTensors {
  const { inputs, outputs } = boundaryTensors(structure, range)
  if (!batches) return { inputs, outputs }
  const open = ({ shape, ...tensor }: TargetTensor) => ({ ...tensor, shape: [-1, ...shape.slice(1)] })
  return { inputs: inputs.map(open), outputs: outputs.map(open) }
}

/** Tensors by name, cached per structure because every request to a layer range needs them. */
const tensorsByName = new WeakMap<Structure, Map<string, TensorSpec>>()

function tensorsOf(structure: Structure): Map<string, TensorSpec> {
  const known = tensorsByName.get(structure)
  if (known) return known
  const tensors = [...structure.inputs, ...structure.layers.flatMap((layer) => layer.outputs)]
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  tensorsByName.set(structure, byName)
  return byName
}

/** The tensors as the file declares them; -1 marks an open dimension. */
export const declaredTensors = (model: Model): TargetTensors => ({
  inputs: model.inputs.map(declared),
  outputs: model.outputs.map(declared),
})

const declared = (tensor: Model['inputs'][number]): TargetTensor => ({
  ...tensor,
  shape: tensor.shape.map((dim) => (typeof dim === 'string' ? -1 : dim)),
})

/**
 * The inputs of a model, or of a range of it, whose file has open dimensions: as the file declares them, or any size of the
 * tensors inside.
 * @param structure undefined if the model was not analysed yet. @throws ScissionError needsInputShapes for layers inside of it.
 */
export function openInputs(
  model: Model,
  structure: Structure | undefined,
  range: LayerRange | undefined,
): TargetTensor[] {
  if (!range || range.from === 0)
    return model.inputs.map((input) =>
      hasKnownRank(input) ? declared(input) : ofAnalysedRank(input, structure),
    )
  if (!structure) throw layersUnknown(model)
  return crossingTensors(structure, range.from).map((tensor) => ({
    ...tensor,
    shape: tensor.shape.map(() => -1),
  }))
}

const hasKnownRank = ({ shape }: Model['inputs'][number]): boolean => shape[0] !== UNKNOWN_RANK

function ofAnalysedRank(input: Model['inputs'][number], structure: Structure | undefined): TargetTensor {
  const analysed = structure?.inputs.find(({ name }) => name === input.name)
  return analysed ? { ...analysed, shape: analysed.shape.map(() => -1) } : declared(input)
}

/** The error for layers of a model that has none yet. */
export const layersUnknown = ({ name }: Model): ScissionError =>
  new ScissionError(
    'needsInputShapes',
    `model ${name} has open input dimensions and was not analysed yet: send a request to the whole model or to layers ` +
      `from 0 first, or ask the benchmark service for POST /v1/models/${name}/layers with {"open": true, "inputShapes": …}`,
  )

/** The metadata's `properties`: all values are texts. */
export function propertiesOf(
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
