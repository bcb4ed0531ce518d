/** The input with which a deployment is verified. */
import type { TensorSpec } from '../../../shared/contracts/common.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import { type ShapeRanges, sizesOf } from '../../../shared/contracts/shape-ranges.ts'
import { byteLength, type Tensor } from '../../../shared/contracts/tensor.ts'
import type { Verification } from '../../../shared/contracts/verification.ts'
import type { TensorThread } from './tensor-thread.ts'
import { entryOf } from '../../../shared/platform/entry-of.ts'

export interface VerificationInput {
  tensors: Tensor[]
  source: NonNullable<Verification['input']>
}

const SEED = 1

/**
 * @param shapes of the deployment, if it takes a range of them. @param samples of the model; empty if all values are made up.
 * @throws ScissionError invalidTensor if no input can be made, because its shape is not fixed.
 */
export async function verificationInput(
  structure: Structure,
  shapes: ShapeRanges | undefined,
  samples: readonly Tensor[],
  thread: TensorThread,
  signal: AbortSignal,
): Promise<VerificationInput> {
  const { inputHints } = structure
  const inputs = shapes ? sizedInputs(structure, shapes) : structure.inputs
  const tensors = await thread.make({ inputs, inputHints }, samples, SEED, signal)
  return { tensors, source: samples.length > 0 ? 'sample' : 'made-up' }
}

/** The inputs with the sizes that the structure was tried with, or the nearest that the deployment takes. */
function sizedInputs({ inputs, inputShapes }: Structure, shapes: ShapeRanges): TensorSpec[] {
  return inputs.map((input) => {
    const tried = entryOf(inputShapes, input.name) ?? input.shape
    const shape = (entryOf(shapes, input.name) ?? tried).map((dimension, axis) => {
      const { min, max } = sizesOf(dimension)
      return Math.min(Math.max(tried[axis] ?? min, min), max)
    })
    return { ...input, shape, bytes: isText(input) ? input.bytes : byteLength(input.datatype, shape) }
  })
}

const isText = ({ datatype }: TensorSpec): boolean => datatype === 'BYTES'
