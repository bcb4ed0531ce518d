/**
 * The few calls to ONNX Runtime that analysis makes. Whoever calls these runs in a process that may be lost:
 * a hostile model can crash or hang ONNX Runtime (see analyse-child.ts).
 */
import './no-telemetry.ts'
import ort from 'onnxruntime-node'
import { coerceError, ScissionError } from '../../platform/errors.ts'
import type { Tensor } from '../../contracts/tensor.ts'
import { fromOrt, toOrt } from './ort-tensor.ts'

/** Errors are thrown as well; warnings about a user's model would only fill our standard error. */
const LOG_NOTHING_BUT_FATAL = 4

export interface SessionSettings {
  level: 'disabled' | 'basic' | 'extended' | 'all'
  /** Where ONNX Runtime writes the graph it made: a path, and the name of the file beside it for the weights. */
  saveTo?: { graph: string; weights: string }
}

/** Opens a model file (from bytes, external data could not be followed). Throws ONNX Runtime's error. */
export async function openSession(file: string, settings: SessionSettings): Promise<ort.InferenceSession> {
  const options: ort.InferenceSession.SessionOptions = {
    graphOptimizationLevel: settings.level,
    logSeverityLevel: LOG_NOTHING_BUT_FATAL,
    enableCpuMemArena: false,
    extra: {
      session: {
        // One run does not repay packed copies of the weights, and spinning threads disturb the neighbours.
        disable_prepacking: '1',
        intra_op: { allow_spinning: '0' },
        ...(settings.saveTo
          ? {
              optimized_model_external_initializers_file_name: settings.saveTo.weights,
              optimized_model_external_initializers_min_size_in_bytes: '1024',
            }
          : {}),
      },
    },
    ...(settings.saveTo ? { optimizedModelFilePath: settings.saveTo.graph } : {}),
  }
  return ort.InferenceSession.create(file, options)
}

/** ONNX Runtime's complaint as the user's error. */
export function asInvalidModel(doing: string, thrown: unknown): ScissionError {
  if (thrown instanceof ScissionError) return thrown
  const error = coerceError(thrown)
  return new ScissionError(
    'invalidModel',
    `ONNX Runtime ${doing}: ${tidy(error.message)}`,
    { runtime: error.message },
    error,
  )
}

/** Leaves out ONNX Runtime's source paths, C++ signatures and our temporary file names. */
export function tidy(message: string): string {
  return message
    .replace(/Load model from \S+ failed:\s*/g, '')
    .replace(/\S*\/onnxruntime_src\/\S+ [^\n]*?\) (?=[A-Z])/g, '')
    .replace(/\s+/g, ' ')
    .trim()
}

/** @throws ScissionError invalidModel for BF16, which onnxruntime-node cannot hold. */
export const toRuntime = (tensor: Tensor): ort.Tensor => orInvalidModel(() => toOrt(tensor))

/** The bytes are a view of ONNX Runtime's own copy. @throws ScissionError invalidModel for other types than ours. */
export const fromRuntime = (name: string, tensor: ort.Tensor): Tensor =>
  orInvalidModel(() => fromOrt(name, tensor))

/** A tensor that cannot be handed over makes the model one that cannot be served. */
function orInvalidModel<T>(convert: () => T): T {
  try {
    return convert()
  } catch (thrown) {
    if (!(thrown instanceof ScissionError)) throw thrown
    throw new ScissionError('invalidModel', thrown.message, thrown.details, thrown)
  }
}
