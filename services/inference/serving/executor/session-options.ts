/** The one way in which sessions are created: executor, trial and profiler must run the same thing. */
import { InferenceSession } from 'onnxruntime-node'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import '../../../../shared/onnx/runtime/no-telemetry.ts'
import { loadError } from './ort-errors.ts'

/** Warnings about a model are for its author, and errors of a run are thrown with the same text. */
const LOG_FATAL = 4

export function sessionOptions(options: RuntimeOptions): InferenceSession.SessionOptions {
  return {
    executionProviders: ['cpu'],
    executionMode: 'sequential',
    graphOptimizationLevel: options.optimisation,
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    logSeverityLevel: LOG_FATAL,
    // Threads that spin while they wait double the time of their neighbours when services share a machine.
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  }
}

/**
 * From a path, never from bytes: weights stay in their file, and ONNX Runtime maps them.
 * @throws ScissionError invalidModel with ONNX Runtime's own text.
 */
export async function createSession(path: string, options: RuntimeOptions): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(path, sessionOptions(options))
  } catch (thrown) {
    throw loadError(path, thrown)
  }
}
