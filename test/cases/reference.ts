/** The right values of a case: its whole file by ONNX Runtime alone, fully optimised, in a process of its own. */
import { runInLimitedChild } from '../../shared/platform/processes/limited-child.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import type { ReferenceInput } from './reference-job.ts'

const LIMITS = { timeoutMs: 300_000, memoryLimitBytes: 8e9 }

/** @throws ScissionError with ONNX Runtime's reason. */
export async function referenceOf(file: string, inputs: readonly Tensor[]): Promise<Map<string, Tensor>> {
  const outputs = await runInLimitedChild<ReferenceInput, Tensor[]>({
    module: new URL('./reference-job.ts', import.meta.url),
    input: { file, inputs: [...inputs] },
    doing: `running ${file} whole`,
    ...LIMITS,
  })
  return new Map(outputs.map((output) => [output.name, output]))
}
