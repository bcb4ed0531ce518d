/** Entry of the child process of reference.ts. */
import '../../shared/onnx/runtime/no-telemetry.ts'
import { InferenceSession } from 'onnxruntime-node'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { runSession } from '../onnx/made/held-range.ts'

export interface ReferenceInput {
  file: string
  inputs: Tensor[]
}

export async function run({ file, inputs }: ReferenceInput): Promise<Tensor[]> {
  const session = await InferenceSession.create(file, { intraOpNumThreads: 1, logSeverityLevel: 4 })
  const outputs = await runSession(session, new Map(inputs.map((input) => [input.name, input])))
  return [...outputs.values()]
}
