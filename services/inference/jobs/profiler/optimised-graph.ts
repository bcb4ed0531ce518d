/**
 * The graph that ONNX Runtime really runs, after its fusions and layout changes, without its weights.
 *
 * A session can save it (`optimizedModelFilePath`) and put all weights into a second file. Nobody needs that file, and
 * it is as large as the model: where the system allows, it is a link to /dev/null, so that nothing is written.
 */
import fs from 'node:fs'
import path from 'node:path'
import type { InferenceSession } from 'onnxruntime-node'
import { fieldsOf, textOf, type WireField } from '../../../../shared/onnx/wire/protobuf.ts'

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

/** Its nodes in topological order. @throws Error when ONNX Runtime has not written what it was asked for. */
export function readOptimisedGraph(folder: string): OptimisedNode[] {
  const model = fs.readFileSync(path.join(folder, GRAPH))
  const inside = (fields: readonly WireField[], wanted: number) =>
    fields.filter(({ field }) => field === wanted).map(({ from, to }) => fieldsOf(model, from, to))
  return inside(fieldsOf(model), MODEL_GRAPH)
    .flatMap((graph) => inside(graph, GRAPH_NODE))
    .map((node) => nodeOf(model, node))
}

/** Field numbers of onnx.proto. */
const MODEL_GRAPH = 7
const GRAPH_NODE = 1
const NODE = { input: 1, output: 2, name: 3, op: 4 } as const

function nodeOf(model: Uint8Array, fields: readonly WireField[]): OptimisedNode {
  const texts = (wanted: number) =>
    fields.filter(({ field }) => field === wanted).map((field) => textOf(model, field))
  const present = (name: string) => name !== ''
  return {
    name: texts(NODE.name).at(-1) ?? '',
    op: texts(NODE.op).at(-1) ?? '',
    inputs: texts(NODE.input).filter(present),
    outputs: texts(NODE.output).filter(present),
  }
}
