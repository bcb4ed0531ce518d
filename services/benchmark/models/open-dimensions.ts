/** Finds the open dimensions of a model's inputs, and fixes them without asking if only the batch is open. */
import { z } from 'zod'
import type { DeclaredTensor, InputShapes } from '../../../shared/contracts/common.ts'
import { OpenDimension } from '../../../shared/contracts/model.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { resolveInputShapes } from '../../../shared/onnx/index.ts'

const Details = z.object({ dims: z.array(OpenDimension) })

export function openDimensions(inputs: readonly DeclaredTensor[]): OpenDimension[] {
  try {
    resolveInputShapes(inputs)
    return []
  } catch (thrown) {
    if (thrown instanceof ScissionError && thrown.code === 'needsInputShapes')
      return Details.parse(thrown.details).dims
    throw thrown
  }
}

/**
 * Input shapes with a batch of 1, if only the batch is open: the first dimension of inputs with more than one dimension.
 * The meaning of any other open dimension is unknown, so its size has to be given by the client.
 */
export function singleItemShapes(inputs: readonly DeclaredTensor[]): InputShapes | undefined {
  const open = openDimensions(inputs)
  const batchOnly = open.every(({ input, axis }) => axis === 0 && (shapeOf(inputs, input).length ?? 0) > 1)
  if (open.length === 0 || !batchOnly) return undefined
  const affected = new Set(open.map(({ input }) => input))
  return Object.fromEntries(
    [...affected].map((name) => [
      name,
      shapeOf(inputs, name).map((dim) => (typeof dim === 'string' ? 1 : dim)),
    ]),
  )
}

function shapeOf(inputs: readonly DeclaredTensor[], name: string): DeclaredTensor['shape'] {
  return inputs.find((input) => input.name === name)?.shape ?? []
}
