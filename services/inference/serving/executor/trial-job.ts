/** Loads a sub-model and runs it once with made-up inputs, in a process that can be lost. */
import type { Tensor as OrtTensor } from 'onnxruntime-node'
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { coerceError } from '../../../../shared/platform/errors.ts'
import { makeInputs } from '../../../../shared/onnx/sample-inputs/sample-inputs.ts'
import { toOrt } from '../../../../shared/onnx/runtime/ort-tensor.ts'
import { createSession } from './session-options.ts'

export interface TrialInput {
  path: string
  inputs: TensorSpec[]
  options: RuntimeOptions
}

export interface TrialOutput {
  /** What ONNX Runtime said when the run failed in an orderly way; absent when it succeeded. */
  complaint?: string
}

/** Seed of the made-up inputs: any, but always the same. */
const SEED = 1

/** @throws ScissionError invalidModel when ONNX Runtime cannot load the file. */
export async function run({ path, inputs, options }: TrialInput): Promise<TrialOutput> {
  const session = await createSession(path, options)
  try {
    const taken = inputs.filter((spec) => session.inputNames.includes(spec.name))
    const feeds: Record<string, OrtTensor> = {}
    for (const tensor of makeInputs(taken.map(withFixedShape), SEED)) feeds[tensor.name] = toOrt(tensor)
    await session.run(feeds)
    return {}
  } catch (thrown) {
    // Inner tensors have a meaning that made-up values miss (an index out of its table): no fault of the model.
    return { complaint: coerceError(thrown).message }
  }
}

/** Any size will do where the size depends on the data. */
function withFixedShape(spec: TensorSpec): TensorSpec {
  return { ...spec, shape: spec.shape.map((dim) => (dim === -1 ? 1 : dim)) }
}
