/** How models and layer ranges describe themselves to clients: tensors and properties. */
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import type { Model, Structure } from '../../../../shared/contracts/model.ts'
import type { LayerRange, TargetTensor, TargetTensors } from './target.ts'

/** The tensors of the boundaries around a range, or of the whole model. */
export function boundaryTensors(structure: Structure, range: LayerRange | undefined): TargetTensors {
  if (!range) return { inputs: structure.inputs, outputs: structure.outputs }
  const known = tensorsOf(structure)
  const at = (k: number) => (structure.boundaries[k]?.tensors ?? []).flatMap((name) => known.get(name) ?? [])
  return { inputs: at(range.from), outputs: at(range.to) }
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
