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
import { clone, toBinary } from '@bufbuild/protobuf'
import { coerceError } from '../../platform/errors.ts'
import { assembleGraph, type GraphSelection } from './encode-graph.ts'
import { CODE, type TypedTensor } from '../wire/element-types.ts'
import { isExternal } from '../wire/external-data.ts'
import type { Graph } from './working-graph.ts'
import {
  type TensorProto,
  type TypeProto,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../proto/onnx_pb.ts'
import { asInvalidModel, openSession } from '../runtime/analysis-session.ts'
import { usesOf } from './scope.ts'
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

/** Most nodes in one session: each of their tensors is an output, and the time grows with the square of outputs. */
const SESSION_NODES = 4_000
/** So many nodes before them are in it as well: sizes that are computed from other sizes are known where both are. */
const OVERLAP_NODES = 400

async function outputTypes(graph: Graph, made: readonly string[]): Promise<ValueInfoProto[]> {
  // Between sessions the names of open dimensions would get lost.
  if (graph.nodes.length > 2 * SESSION_NODES && !graph.open) {
    const found = await typesInParts(graph).catch(coerceError)
    // ONNX Runtime may refuse a part for a reason that the whole does not have; its message is to be about the whole.
    if (!(found instanceof Error)) return found
  }
  return typesOf(graph, { nodes: graph.nodes, inputs: graph.inputs, outputs: made })
}

/** Goes through the nodes in order: what earlier ones make are inputs of a part, with the types found for them. */
async function typesInParts(graph: Graph): Promise<ValueInfoProto[]> {
  const found = new Map<string, ValueInfoProto>()
  const given = new Map(graph.inputs.map((input) => [input.name, input]))
  for (let start = 0; start < graph.nodes.length; start += SESSION_NODES) {
    const nodes = graph.nodes.slice(Math.max(0, start - OVERLAP_NODES), start + SESSION_NODES)
    const inside = new Set(nodes.flatMap((node) => node.output))
    const outside = [...new Set(nodes.flatMap((node) => [...usesOf(node)]))].filter(
      (name) => !inside.has(name),
    )
    const inputs = outside.flatMap((name) => {
      const earlier = found.get(name)
      return given.get(name) ?? (earlier ? encodeNamed(earlier) : [])
    })
    const outputs = [...inside].filter((name) => name && !found.has(name))
    for (const output of await typesOf(graph, { nodes, inputs, outputs })) found.set(output.name, output)
  }
  return [...found.values()]
}

/** Without the names of its open dimensions, which each session gives anew. */
function encodeNamed(value: ValueInfoProto): Uint8Array {
  const copy = clone(ValueInfoProtoSchema, value)
  const dims = copy.type?.value.case === 'tensorType' ? (copy.type.value.value.shape?.dim ?? []) : []
  for (const dim of dims) if (dim.value.case === 'dimParam') dim.value = { case: undefined }
  return toBinary(ValueInfoProtoSchema, copy)
}

/** @throws ScissionError invalidModel with ONNX Runtime's reason if it refuses the nodes. */
async function typesOf(graph: Graph, part: GraphSelection): Promise<ValueInfoProto[]> {
  const used = new Set(part.nodes.flatMap((node) => [...usesOf(node)]))
  const large = new Map([...graph.constants].filter(([name, tensor]) => used.has(name) && isExternal(tensor)))
  const build = (asInputs: ReadonlyMap<string, TensorProto>) =>
    assembleGraph(graph, {
      ...part,
      inputs: [...part.inputs, ...[...asInputs.values()].map(typeOf)],
      keeps: (name) => used.has(name) && !asInputs.has(name),
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
