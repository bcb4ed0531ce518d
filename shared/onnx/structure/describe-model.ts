/** Describes a model without ONNX Runtime, in milliseconds and with little memory: used at upload. */
import type { DeclaredTensor } from '../../contracts/common.ts'
import { refuseWithoutOpsets } from '../canonical/check-model.ts'
import { declaredTensor, trueInputs } from '../canonical/declared-tensors.ts'
import { referenceOf, refuseUnsafeLocation } from '../wire/external-data.ts'
import { readSkeleton } from '../wire/skeleton.ts'
import type { StructureLimits } from '../wire/structure-limits.ts'

export interface ModelDescription {
  irVersion: number
  /** Domain → version; the default domain is `ai.onnx`. */
  opsets: Record<string, number>
  /** Name and version of the exporter; empty if the file does not name it. */
  producer: string
  inputs: DeclaredTensor[]
  outputs: DeclaredTensor[]
  /** External data files, relative to the model's folder, sorted: they must be uploaded with it. */
  externalFiles: string[]
}

/**
 * Reads a model's inputs, outputs, opsets and external files.
 * @param limits what the file may hold besides its weights. @defaultValue none
 * @throws ScissionError invalidModel if the file is no ONNX model or names files outside its folder; payloadTooLarge.
 * @example
 * const { inputs, externalFiles } = await describeModel('mobilenet.onnx')
 */
export async function describeModel(file: string, limits?: StructureLimits): Promise<ModelDescription> {
  const { model, graph, external } = readSkeleton(file, { interfaceOnly: true, limits })
  refuseWithoutOpsets(model)
  const locations = new Set<string>()
  for (const tensor of external) {
    const { location } = referenceOf(tensor)
    refuseUnsafeLocation(tensor, location)
    locations.add(location)
  }
  return {
    irVersion: Number(model.irVersion),
    opsets: Object.fromEntries(
      model.opsetImport.map(({ domain, version }) => [domain || 'ai.onnx', Number(version)]),
    ),
    producer: [model.producerName, model.producerVersion].filter(Boolean).join(' '),
    inputs: trueInputs(graph).map((input) => declaredTensor(input, 'input')),
    outputs: graph.output.map((output) => declaredTensor(output, 'output')),
    externalFiles: [...locations].sort(),
  }
}
