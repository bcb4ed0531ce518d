/** Runs the reference: the user's file, unsplit, by ONNX Runtime alone, in a process of its own. */
import path from 'node:path'
import { runInLimitedChild } from '../../shared/platform/processes/limited-child.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import type { ReferenceInput, ReferenceOutput } from './reference-job.ts'

const TIMEOUT_MS = 300_000
const MEMORY_BYTES = 16e9

/** @returns the outputs and the wall time of each run in ms. None of Scission's model handling is involved. */
export function referenceRun(file: string, inputs: readonly Tensor[]): Promise<ReferenceOutput> {
  return runInLimitedChild<ReferenceInput, ReferenceOutput>({
    module: new URL('./reference-job.ts', import.meta.url),
    input: { file: path.resolve(file), inputs: [...inputs] },
    timeoutMs: TIMEOUT_MS,
    memoryLimitBytes: MEMORY_BYTES,
    doing: `running ${file} whole`,
  })
}
