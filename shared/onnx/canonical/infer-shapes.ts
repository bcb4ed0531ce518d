/**
 * Infers types and shapes of all tensors with ONNX Runtime, without a run.
 *
 * A session is created of the graph with its large constants turned into graph inputs, so that no weight is read, and with
 * every tensor as an output; ONNX Runtime writes the graph to a file again, unoptimised, with the types of its outputs. The
 * session's own metadata would not do: onnxruntime-node refuses to list types that JavaScript does not have (bfloat16,
 * float8), and does not tell an unknown rank from rank 0.
 */
import fs from 'node:fs'
import path from 'node:path'
import { assembleGraph } from './encode-graph.ts'
import { CODE, type TypedTensor } from '../wire/element-types.ts'
import { isExternal } from '../wire/external-data.ts'
import type { Graph } from './working-graph.ts'
import type { TensorProto, TypeProto, ValueInfoProto } from '../proto/onnx_pb.ts'
import { asInvalidModel, openSession } from '../runtime/analysis-session.ts'
import { tensorShape } from '../wire/tensor-data.ts'
import { readSkeleton } from '../wire/skeleton.ts'
import { makeWorkFolder, withWorkFile } from './work-files.ts'

/**
 * Types by name: of graph inputs, constants and node outputs. A sequence, map or optional has the code UNDEFINED, and its
 * kind; a tensor of unknown rank has the shape [].
 */
export type Types = Map<string, InferredType>

export interface InferredType extends TypedTensor {
  /** `sequence`, `optional`, …: absent for tensors. */
  kind?: string
}

/** @throws ScissionError invalidModel with ONNX Runtime's reason if it refuses the graph. */
export async function inferTypes(graph: Graph): Promise<Types> {
  const types: Types = new Map(graph.inputs.map((input) => [input.name, input]))
  for (const [name, tensor] of graph.constants) types.set(name, typeOf(tensor))
  const made = graph.nodes.flatMap((node) => node.output.filter(Boolean))
  if (made.length === 0) return types
  for (const output of await outputTypes(graph, made)) {
    const type = inferredType(output)
    types.set(output.name, graph.open ? type : withoutSymbols(type))
  }
  return types
}

function typeOf(tensor: TensorProto): TypedTensor {
  return { name: tensor.name, code: tensor.dataType, shape: tensorShape(tensor) }
}

async function outputTypes(graph: Graph, made: readonly string[]): Promise<ValueInfoProto[]> {
  const large = new Map([...graph.constants].filter(([, tensor]) => isExternal(tensor)))
  const build = (asInputs: ReadonlyMap<string, TensorProto>) =>
    assembleGraph(graph, {
      nodes: graph.nodes,
      inputs: [...graph.inputs, ...[...asInputs.values()].map(typeOf)],
      outputs: made,
      keeps: (name) => !asInputs.has(name),
    })
  try {
    return await withWorkFile(graph.dir, build(large), typesOfOutputs)
  } catch (error) {
    if (large.size === 0) throw asInvalidModel('refuses the model', error)
  }
  // Some operators require constant weights. A second refusal, with them, is a fault of the model.
  try {
    return await withWorkFile(graph.dir, build(new Map()), typesOfOutputs)
  } catch (error) {
    throw asInvalidModel('refuses the model', error)
  }
}

/** @throws ONNX Runtime's error if it refuses the model. */
async function typesOfOutputs(model: string): Promise<ValueInfoProto[]> {
  const folder = makeWorkFolder()
  const saveTo = { graph: path.join(folder, 'typed.onnx'), weights: 'typed.weights' }
  try {
    const session = await openSession(model, { level: 'disabled', saveTo }).catch((error: unknown) => {
      // The file is written before onnxruntime-node looks at the types, some of which it refuses.
      if (!fs.existsSync(saveTo.graph)) throw error
    })
    await session?.release()
    return readSkeleton(saveTo.graph).graph.output
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

function inferredType({ name, type }: ValueInfoProto): InferredType {
  if (type?.value.case !== 'tensorType') return { name, code: CODE.UNDEFINED, shape: [], kind: kindOf(type) }
  const { elemType, shape } = type.value.value
  const dims = shape?.dim ?? []
  return {
    name,
    code: elemType,
    shape: dims.map(({ value }) => (value.case === 'dimValue' ? Number(value.value) : -1)),
    symbols: dims.map(({ value }) => (value.case === 'dimParam' ? value.value : '')),
    ...(!shape && { anyRank: true }),
  }
}

/** With fixed inputs, a dimension that stays unknown depends on the data: its name says nothing at a cut. */
const withoutSymbols = ({ symbols: _names, ...type }: InferredType): InferredType => type

const kindOf = (type: TypeProto | undefined) =>
  type?.value.case?.replace(/Type$/, '') ?? 'value without a type'
