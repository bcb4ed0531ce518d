/**
 * Names of nodes after their layers: `L0`, `L1`, … (cut-model.ts gives them).
 *
 * ONNX Runtime derives the names of fused nodes from those of the nodes it fuses, and nodes of real models have no
 * names, or names that contain each other. With names of our own, what it derives can be read back.
 */
import path from 'node:path'
import type { InferenceSession } from 'onnxruntime-node'

/** The layer whose name ONNX Runtime has worked into this node's: `fused L12`, `L12/MatMulAddFusion`, `L12_token_3`. */
export function layerInName(name: string): number | undefined {
  const [, digits] = /(?:^|[^0-9A-Za-z])L(\d+)(?![0-9A-Za-z])/.exec(name) ?? []
  return digits === undefined ? undefined : Number(digits)
}

/** Session options for a model given as bytes: its external data lies beside `file`. */
export function besideModel(
  file: string,
  options: InferenceSession.SessionOptions,
): InferenceSession.SessionOptions {
  const { session = {}, ...extra } = (options.extra ?? {}) as { session?: Record<string, unknown> }
  const folder = path.dirname(path.resolve(file))
  return {
    ...options,
    extra: { ...extra, session: { ...session, model_external_initializers_file_folder_path: folder } },
  }
}
