/** Entry of the child process of reference.ts. */
import '../../shared/onnx/runtime/no-telemetry.ts'
import { InferenceSession, type Tensor as OrtTensor } from 'onnxruntime-node'
import { fromOrt, toOrt } from '../../shared/onnx/runtime/ort-tensor.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'

export interface ReferenceInput {
  file: string
  inputs: Tensor[]
}

export interface ReferenceOutput {
  outputs: Tensor[]
  runMs: number[]
}

const RUNS = 5

export async function run({ file, inputs }: ReferenceInput): Promise<ReferenceOutput> {
  const session = await InferenceSession.create(file, {
    intraOpNumThreads: 1,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  })
  const feeds = Object.fromEntries(inputs.map((tensor) => [tensor.name, toOrt(tensor)]))
  let made: InferenceSession.OnnxValueMapType = {}
  const runMs: number[] = []
  for (let i = 0; i < RUNS; i++) {
    const start = performance.now()
    made = await session.run(feeds)
    runMs.push(performance.now() - start)
  }
  return { outputs: session.outputNames.map((name) => fromOrt(name, made[name] as OrtTensor)), runMs }
}
