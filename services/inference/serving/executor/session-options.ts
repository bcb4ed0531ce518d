/** Creates all sessions, so that executor, trial and profiler use the same options. */
import { InferenceSession } from 'onnxruntime-node'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import '../../../../shared/onnx/runtime/no-telemetry.ts'
import { loadError } from './ort-errors.ts'

/** Logs only fatal errors: warnings concern the author of a model, and errors are thrown with the same text. */
const LOG_FATAL = 4

export function sessionOptions(options: RuntimeOptions): InferenceSession.SessionOptions {
  return {
    executionProviders: ['cpu'],
    executionMode: 'sequential',
    graphOptimizationLevel: options.optimisation,
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    logSeverityLevel: LOG_FATAL,
    // Spinning threads double the run time of other services on the same machine.
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  }
}

/**
 * Creates a session from a path, not from bytes: so the weights stay in their file, which ONNX Runtime maps into memory.
 * @throws ScissionError invalidModel with ONNX Runtime's own text.
 */
export async function createSession(path: string, options: RuntimeOptions): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(path, sessionOptions(options))
  } catch (thrown) {
    throw loadError(path, thrown)
  }
}
