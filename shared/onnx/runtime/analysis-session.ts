/**
 * The calls to ONNX Runtime that analysis makes. Call them in a throw-away process (analyse-child.ts): a hostile model can
 * crash or hang ONNX Runtime.
 */
import './no-telemetry.ts'
import ort from 'onnxruntime-node'
import { coerceError, ScissionError } from '../../platform/errors.ts'
import type { Tensor } from '../../contracts/tensor.ts'
import { tidy } from './error-text.ts'
import { fromOrt, toOrt } from './ort-tensor.ts'

/** ONNX Runtime's log level: errors are thrown as well, and warnings about a user's model would fill the standard error. */
const LOG_FATAL_ONLY = 4

const LAYOUTS = 'NchwcTransformer;NhwcTransformer'

export interface SessionSettings {
  level: 'disabled' | 'all'
  /** Path for the optimised graph, and the name of the file beside it for its weights. */
  saveTo?: { graph: string; weights: string }
  /** Leaves out the layouts of tensors that suit this machine: they change no result. */
  portable?: boolean
  /** Packs the weights for faster runs, as inference services do: some kernels compute in another precision then. */
  packs?: boolean
}

/** Opens a model file; from bytes, external data would not be found. @throws ONNX Runtime's error. */
export async function openSession(file: string, settings: SessionSettings): Promise<ort.InferenceSession> {
  const options: ort.InferenceSession.SessionOptions = {
    graphOptimizationLevel: settings.level,
    logSeverityLevel: LOG_FATAL_ONLY,
    enableCpuMemArena: false,
    extra: {
      ...(settings.portable && { optimization: { disable_specified_optimizers: LAYOUTS } }),
      session: {
        // Packed copies of the weights do not pay for one run, and spinning threads slow down other processes.
        disable_prepacking: settings.packs ? '0' : '1',
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

/** Converts ONNX Runtime's error to one for the user. */
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

/** @throws ScissionError invalidModel for BF16, which onnxruntime-node does not have. */
export const toRuntime = (tensor: Tensor): ort.Tensor => orInvalidModel(() => toOrt(tensor))

/** The bytes are a view of ONNX Runtime's copy. @throws ScissionError invalidModel for types that the protocol does not have. */
export const fromRuntime = (name: string, tensor: ort.Tensor): Tensor =>
  orInvalidModel(() => fromOrt(name, tensor))

/** Reports a tensor that cannot be converted as a fault of the model. */
function orInvalidModel<T>(convert: () => T): T {
  try {
    return convert()
  } catch (thrown) {
    if (!(thrown instanceof ScissionError)) throw thrown
    throw new ScissionError('invalidModel', thrown.message, thrown.details, thrown)
  }
}
