/** The job of a trial: loads a sub-model and runs it once with made-up inputs, in a child process. */
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { coerceError } from '../../../../shared/platform/errors.ts'
import { makeInputs } from '../../../../shared/onnx/sample-inputs/sample-inputs.ts'
import { toOrt } from '../../../../shared/onnx/runtime/ort-tensor.ts'
import { createSession } from './ort-session.ts'

export interface TrialInput {
  path: string
  inputs: TensorSpec[]
  options: RuntimeOptions
}

export interface TrialOutput {
  /** ONNX Runtime's error if the run failed without a crash; undefined if it succeeded. */
  complaint?: string
}

/** A fixed seed, so that trials are reproducible. */
const SEED = 1

/** @throws ScissionError invalidModel if ONNX Runtime cannot load the file. */
export async function run({ path, inputs, options }: TrialInput): Promise<TrialOutput> {
  const session = await createSession(path, options)
  try {
    const taken = inputs.filter((spec) => session.inputNames.includes(spec.name))
    // Dimensions that depend on the data get an arbitrary size.
    const fixed = taken.map((spec) => ({ ...spec, shape: spec.shape.map((dim) => (dim === -1 ? 1 : dim)) }))
    const feeds = makeInputs(fixed, SEED).map((tensor) => [tensor.name, toOrt(tensor)])
    await session.run(Object.fromEntries(feeds))
    return {}
  } catch (thrown) {
    // Made-up values of inner tensors may be invalid, for instance an index outside of its table: not the model's fault.
    return { complaint: coerceError(thrown).message }
  }
}
