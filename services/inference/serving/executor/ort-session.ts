/**
 * Creates all sessions, so that executor, trial and profiler use the same options, and classifies the errors of ONNX
 * Runtime. It throws plain Errors, so their texts decide whose fault a failed run is.
 */
import os from 'node:os'
import { InferenceSession } from 'onnxruntime-node'
import { formatInputShapes } from '../../../../shared/contracts/input-shapes.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import '../../../../shared/onnx/runtime/no-telemetry.ts'
import { tidy } from '../../../../shared/onnx/runtime/analysis-session.ts'
import { coerceError, type ErrorCode, ScissionError } from '../../../../shared/platform/errors.ts'

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

/** A node that fails although the inputs have the right names, types and shapes refuses their values. */
const IN_A_NODE = /Non-zero status code returned while running/
/** … unless it is not implemented here, or there is no memory for it. */
const NOT_THE_VALUES = /not.?implemented|bad_alloc|out of memory/i
const TOO_LARGE = /Failed to allocate memory for requested buffer of size (\d+)/

/**
 * The error of a failed run, with ONNX Runtime's own text: invalidTensor if it blames an input, invalidValues if a node
 * refuses what the inputs hold, otherwise internal.
 * @param varied the inputs, if their shapes vary: a model that runs with others is not to blame, so it is never internal.
 */
export function runError(error: Error, varied?: readonly Pick<Tensor, 'name' | 'shape'>[]): ScissionError {
  const code = codeOf(error.message)
  const reason = `ONNX Runtime: ${tidy(error.message)}`
  if (!varied) return new ScissionError(code, reason, undefined, error)
  const shapes = Object.fromEntries(varied.map(({ name, shape }) => [name, shape]))
  return new ScissionError(
    code === 'internal' ? 'invalidTensor' : code,
    `it does not run with ${formatInputShapes(shapes)}: ${reason}`,
    { shapes },
    error,
  )
}

function codeOf(message: string): ErrorCode {
  if (ABOUT_INPUTS.some((pattern) => pattern.test(message))) return 'invalidTensor'
  // Values can ask for a tensor of any size. One that no memory of this machine could hold is their fault.
  const wantedBytes = TOO_LARGE.exec(message)?.[1]
  if (wantedBytes !== undefined) return Number(wantedBytes) > os.totalmem() ? 'invalidValues' : 'internal'
  return IN_A_NODE.test(message) && !NOT_THE_VALUES.test(message) ? 'invalidValues' : 'internal'
}

/** The error of a model that cannot be loaded: invalidModel with ONNX Runtime's own text. */
export function loadError(path: string, thrown: unknown): ScissionError {
  const { message } = coerceError(thrown)
  return new ScissionError('invalidModel', `ONNX Runtime cannot load ${path}: ${message}`, { path })
}
