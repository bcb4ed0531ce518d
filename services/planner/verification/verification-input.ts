/** The input with which a deployment is verified. */
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { Verification } from '../../../shared/contracts/verification.ts'
import type { TensorThread } from './tensor-thread.ts'

export interface VerificationInput {
  tensors: Tensor[]
  source: NonNullable<Verification['input']>
}

const SEED = 1

/** @throws ScissionError invalidTensor if no input can be made, because its shape is not fixed. */
export async function verificationInput(
  { inputs, inputHints }: Structure,
  thread: TensorThread,
  signal: AbortSignal,
): Promise<VerificationInput> {
  return { tensors: await thread.make(inputs, SEED, inputHints, signal), source: 'made-up' }
}
