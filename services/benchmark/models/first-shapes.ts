/** The input shapes that a model is analysed with if nobody gives them. */
import { z } from 'zod'
import type { DeclaredTensor, InputShapes } from '../../../shared/contracts/common.ts'
import { OpenDimension, type Samples, type Structure } from '../../../shared/contracts/model.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { resolveInputShapes } from '../../../shared/onnx/index.ts'
import { shapesOf } from '../samples/check-samples.ts'

/**
 * Analyses with the given shapes; without any, with those of the samples and a batch of one where only the batch is open.
 * @returns null if dimensions stay open and no shapes were given: they can be given later.
 * @throws what `analyse` throws.
 */
export async function analysedIfKnown(
  inputs: readonly DeclaredTensor[],
  given: InputShapes | undefined,
  samples: Samples | undefined,
  analyse: (shapes: InputShapes) => Promise<Structure>,
): Promise<Structure | null> {
  const sampled = samples ? shapesOf(samples.inputs) : {}
  try {
    return await analyse(given ?? { ...singleItemShapes(inputs, sampled), ...sampled })
  } catch (thrown) {
    if (needsInputShapes(thrown) && given === undefined) return null
    throw thrown
  }
}

const needsInputShapes = (thrown: unknown): thrown is ScissionError =>
  thrown instanceof ScissionError && thrown.code === 'needsInputShapes'

const OpenDimensions = z.object({ dims: z.array(OpenDimension) })

/** The dimensions that are open beside the known shapes. */
export function openDimensions(inputs: readonly DeclaredTensor[], known: InputShapes): OpenDimension[] {
  try {
    resolveInputShapes(inputs, known)
    return []
  } catch (thrown) {
    if (needsInputShapes(thrown)) return OpenDimensions.parse(thrown.details).dims
    throw thrown
  }
}

/**
 * Input shapes with a batch of 1, if only the batch is open: the first dimension of inputs with more than one dimension.
 * The meaning of any other open dimension is unknown, so its size has to be given by the client.
 */
function singleItemShapes(inputs: readonly DeclaredTensor[], known: InputShapes): InputShapes {
  const open = openDimensions(inputs, known)
  const affected = inputs.filter(({ name }) => open.some(({ input }) => input === name))
  const batchOnly = open.every(({ axis }) => axis === 0) && affected.every(({ shape }) => shape.length > 1)
  if (open.length === 0 || !batchOnly) return {}
  return Object.fromEntries(
    affected.map(({ name, shape }) => [name, shape.map((dim) => (typeof dim === 'string' ? 1 : dim))]),
  )
}
