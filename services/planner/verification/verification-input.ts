/** The input with which a deployment is verified. */
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { Verification } from '../../../shared/contracts/verification.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { TensorThread } from './tensor-thread.ts'
import type { VerifiedSizes } from './verified-sizes.ts'

export interface VerificationInput {
  tensors: Tensor[]
  source: NonNullable<Verification['input']>
  sizes: VerifiedSizes
}

const SEED = 1

export interface InputMaker {
  thread: TensorThread
  /** Longest input that is made, all tensors together. */
  verifyBytes: number
}

/**
 * @param samples of the model; empty if all values are made up.
 * @throws ScissionError invalidTensor if no input can be made, because its shape is not fixed; payloadTooLarge.
 */
export async function verificationInput(
  { thread, verifyBytes }: InputMaker,
  { inputHints }: Structure,
  sizes: VerifiedSizes,
  samples: readonly Tensor[],
  signal: AbortSignal,
): Promise<VerificationInput> {
  const bytes = sizes.inputs.reduce((sum, spec) => sum + spec.bytes, 0)
  if (bytes > verifyBytes)
    throw new ScissionError(
      'payloadTooLarge',
      `the inputs take ${bytes} bytes, and SCISSION_VERIFY_BYTES=${verifyBytes} is the limit`,
      { bytes, limit: verifyBytes },
    )
  const tensors = await thread.make({ inputs: sizes.inputs, inputHints }, samples, SEED, signal)
  return { tensors, source: samples.length > 0 ? 'sample' : 'made-up', sizes }
}

/** Words for an input: which end of a range of shapes it is, and where its values come from. */
export const describeInput = ({ source, sizes: { end } }: VerificationInput): string =>
  end === undefined ? `the ${source} input` : `${end} (${source})`
