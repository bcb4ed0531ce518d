/**
 * The job of a trial, in a child process: loads a sub-model, looks for what could run away, and runs it once with made-up inputs.
 * What could run away is not run: it will be in a process that can be ended, and made-up values could make it endless.
 */
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { coerceError } from '../../../../shared/platform/errors.ts'
import { makeInputs } from '../../../../shared/onnx/sample-inputs/sample-inputs.ts'
import { toOrt } from '../../../../shared/onnx/runtime/ort-tensor.ts'
import { findRunaway } from '../../../../shared/onnx/runaway/find-runaway.ts'
import { readSkeleton } from '../../../../shared/onnx/wire/skeleton.ts'
import { createSession } from './ort-session.ts'

export interface TrialInput {
  path: string
  inputs: TensorSpec[]
  options: RuntimeOptions
}

export interface TrialOutput {
  /** ONNX Runtime's error if the run failed without a crash; undefined if it succeeded. */
  complaint?: string
  /** Which node can run away, and why; undefined if none can. */
  runaway?: string
  /** Nodes of its graph. */
  nodes: number
}

/** A fixed seed, so that trials are reproducible. */
const SEED = 1

/** @throws ScissionError invalidModel if ONNX Runtime cannot load the file. */
export async function run({ path, inputs, options }: TrialInput): Promise<TrialOutput> {
  const session = await createSession(path, options)
  const { model, graph } = readSkeleton(path)
  const runaway = findRunaway(model)
  const nodes = graph.node.length
  if (runaway !== undefined) return { runaway, nodes }
  try {
    const taken = inputs.filter((spec) => session.inputNames.includes(spec.name))
    // Dimensions that depend on the data get an arbitrary size.
    const fixed = taken.map((spec) => ({ ...spec, shape: spec.shape.map((dim) => (dim === -1 ? 1 : dim)) }))
    const feeds = makeInputs(fixed, SEED).map((tensor) => [tensor.name, toOrt(tensor)])
    await session.run(Object.fromEntries(feeds))
    return { nodes }
  } catch (thrown) {
    // Made-up values of inner tensors may be invalid, for instance an index outside of its table: not the model's fault.
    return { complaint: coerceError(thrown).message, nodes }
  }
}
