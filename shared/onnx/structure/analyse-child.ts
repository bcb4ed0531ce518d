/**
 * `analyse` in a throw-away process: a model that crashes ONNX Runtime, hangs it or eats memory takes down only the
 * child. This is what services call.
 */
import type { Structure } from '../../contracts/model.ts'
import { runInLimitedChild } from '../../platform/processes/limited-child.ts'
import type { AnalyseRequest } from './analyse.ts'
import { removeWorkFiles } from '../canonical/work-files.ts'

export interface AnalyseInChildOptions extends AnalyseRequest {
  timeoutMs: number
  memoryLimitBytes: number
  signal?: AbortSignal | undefined
}

/** @throws ScissionError as `analyse`; invalidModel when the child crashed or broke a limit; cancelled. */
export function analyseInChild(options: AnalyseInChildOptions): Promise<Structure> {
  const { timeoutMs, memoryLimitBytes, signal, ...input } = options
  return runInLimitedChild<AnalyseRequest, Structure>({
    module: new URL('./analyse-job.ts', import.meta.url),
    input,
    timeoutMs,
    memoryLimitBytes,
    signal,
    doing: `analysing "${options.file}"`,
    onEnd: (pid) => removeWorkFiles(options.dir, pid),
  })
}
