/**
 * The graph that ONNX Runtime really runs, after its fusions and layout changes, without its weights.
 *
 * A session can save it (`optimizedModelFilePath`) and put all weights into a second file. Nobody needs that file, and
 * it is as large as the model: where the system allows, it is a link to /dev/null, so that nothing is written.
 */
import fs from 'node:fs'
import path from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import type { InferenceSession } from 'onnxruntime-node'
import { ModelProtoSchema } from '../../../shared/onnx/proto/onnx_pb.ts'

/** A node of the optimised graph; names of tensors are ONNX Runtime's, often but not always the model's. */
export interface OptimisedNode {
  name: string
  op: string
  inputs: string[]
  outputs: string[]
}

const GRAPH = 'optimised.onnx'
const WEIGHTS = 'optimised.weights'

/** Session options that make it save its graph into `folder`, which must exist and be ours. */
export function savingOptions(
  folder: string,
  options: InferenceSession.SessionOptions,
): InferenceSession.SessionOptions {
  if (process.platform !== 'win32') fs.symlinkSync('/dev/null', path.join(folder, WEIGHTS))
  const { session = {}, ...extra } = (options.extra ?? {}) as { session?: Record<string, unknown> }
  return {
    ...options,
    optimizedModelFilePath: path.join(folder, GRAPH),
    extra: {
      ...extra,
      session: {
        ...session,
        optimized_model_external_initializers_file_name: WEIGHTS,
        optimized_model_external_initializers_min_size_in_bytes: '1',
      },
    },
  }
}

/** Its nodes in topological order. */
export function readOptimisedGraph(folder: string): OptimisedNode[] {
  const model = fromBinary(ModelProtoSchema, fs.readFileSync(path.join(folder, GRAPH)))
  return (model.graph?.node ?? []).map((node) => ({
    name: node.name,
    op: node.opType,
    inputs: node.input.filter((name) => name !== ''),
    outputs: node.output.filter((name) => name !== ''),
  }))
}
