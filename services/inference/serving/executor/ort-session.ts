/**
 * Creates all sessions, so that executor, trial and profiler use the same options, and classifies the errors of ONNX
 * Runtime. It throws plain Errors, so their texts decide whose fault a failed run is.
 */
import { InferenceSession } from 'onnxruntime-node'
import { formatInputShapes } from '../../../../shared/contracts/input-shapes.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import '../../../../shared/onnx/runtime/no-telemetry.ts'
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'

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
 * @param varying true if the shapes of its inputs vary: ONNX Runtime would keep a plan of its memory for every shape that it
 *   meets, for ever (5 kB each for a network of 80 layers).
 * @throws ScissionError invalidModel with ONNX Runtime's own text.
 */
export async function createSession(
  path: string,
  options: RuntimeOptions,
  varying = false,
): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(path, { ...sessionOptions(options), enableMemPattern: !varying })
  } catch (thrown) {
    throw loadError(path, thrown)
  }
}

const ABOUT_INPUTS = [
  /Got invalid dimensions for input/,
  /Invalid (rank|feed input name|input name)/i,
  /Unexpected input data type/,
  /input '.*' is missing/,
  /Tensor's size\(.*\) does not match data length/,
]

/**
 * The error of a failed run: invalidTensor if ONNX Runtime blames an input, otherwise internal, with its own text.
 * @param varied the inputs, if their shapes vary: a model that runs with others is not to blame.
 */
export function runError(error: Error, varied?: readonly Pick<Tensor, 'name' | 'shape'>[]): ScissionError {
  if (varied) {
    const shapes = Object.fromEntries(varied.map(({ name, shape }) => [name, shape]))
    const message = `it does not run with ${formatInputShapes(shapes)}: ONNX Runtime: ${error.message}`
    return new ScissionError('invalidTensor', message, { shapes }, error)
  }
  const code = ABOUT_INPUTS.some((pattern) => pattern.test(error.message)) ? 'invalidTensor' : 'internal'
  return new ScissionError(code, `ONNX Runtime: ${error.message}`, undefined, error)
}

/** The error of a model that cannot be loaded: invalidModel with ONNX Runtime's own text. */
export function loadError(path: string, thrown: unknown): ScissionError {
  const { message } = coerceError(thrown)
  return new ScissionError('invalidModel', `ONNX Runtime cannot load ${path}: ${message}`, { path })
}
