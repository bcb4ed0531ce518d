/**
 * Runs `analyse` in a throw-away process: a model that crashes or hangs ONNX Runtime, or needs too much memory, ends only
 * the child. Services call this, not `analyse`.
 */
import type { Structure } from '../../contracts/model.ts'
import { runInLimitedChild } from '../../platform/processes/limited-child.ts'
import { canonicalPaths, readStructureInTurns } from '../canonical/canonical-file.ts'
import type { AnalyseRequest } from './analyse.ts'
import type { AnalyseOutput } from './analyse-job.ts'
import { removeWorkFiles } from '../canonical/work-files.ts'

export interface AnalyseInChildOptions extends AnalyseRequest {
  timeoutMs: number
  memoryLimitBytes: number
  signal?: AbortSignal | undefined
}

/**
 * Analyses a model in a child process.
 * @throws ScissionError as `analyse`; invalidModel if the child crashed or broke a limit; cancelled.
 * @example
 * const model = { dir: 'models/mobilenet', file: 'model.onnx', model: ModelId.parse(sha256) }
 * const structure = await analyseInChild({ ...model, timeoutMs: 120_000, memoryLimitBytes: 4 * 2 ** 30 })
 */
export async function analyseInChild(options: AnalyseInChildOptions): Promise<Structure> {
  const { timeoutMs, memoryLimitBytes, signal, ...input } = options
  const { shapesKey } = await runInLimitedChild<AnalyseRequest, AnalyseOutput>({
    module: new URL('./analyse-job.ts', import.meta.url),
    input: { ...input, timeoutMs, memoryLimitBytes },
    timeoutMs,
    memoryLimitBytes,
    signal,
    doing: `analysing "${options.file}"`,
    onEnd: (pid) => removeWorkFiles(options.dir, pid),
  })
  return readStructureInTurns(canonicalPaths(options.dir, shapesKey).structure)
}
