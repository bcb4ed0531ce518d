/**
 * A copy of a sub-model, in memory, whose nodes are named after their layers: `L0`, `L1`, …
 *
 * ONNX Runtime derives the names of fused nodes from those of the nodes it fuses, and nodes of real models have no
 * names, or names that contain each other. With names of our own, what it derives can be read back.
 */
import fs from 'node:fs'
import path from 'node:path'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import type { InferenceSession } from 'onnxruntime-node'
import type { Layer } from '../../../shared/contracts/model.ts'
import { ModelProtoSchema } from '../../../shared/onnx/proto/onnx_pb.ts'

/** The model's bytes; its external data stays where it is, see `besideModel`. */
export function nameNodesByLayer(file: string, layers: readonly Layer[]): Uint8Array {
  const model = fromBinary(ModelProtoSchema, fs.readFileSync(file))
  const makers = new Map(layers.flatMap((layer) => layer.outputs.map(({ name }) => [name, layer.index])))
  for (const node of model.graph?.node ?? []) {
    const layer = node.output.map((name) => makers.get(name)).find((index) => index !== undefined)
    if (layer !== undefined) node.name = `L${layer}`
  }
  return toBinary(ModelProtoSchema, model)
}

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
