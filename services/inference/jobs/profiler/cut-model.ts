/**
 * A whole model in memory, to open sessions of its layer ranges without writing files.
 *
 * The file is the range 0..N of the range store: its weights are references into files beside it, so a range is a small
 * message whose weights ONNX Runtime maps, like the sub-models of the executor (shared/onnx/structure/write-range.ts).
 * Nodes and constants are copied as they are encoded: to load a protobuf library, decode a network of a thousand layers and
 * encode its ranges again takes a new process as long as twenty runs of the network.
 */
import fs from 'node:fs'
import path from 'node:path'
import { InferenceSession } from 'onnxruntime-node'
import type { Structure } from '../../../../shared/contracts/model.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import {
  encodeRange,
  type EncodedModel,
  type EncodedNode,
  valueEncoder,
} from '../../../../shared/onnx/structure/encode-range.ts'
import type { ModelFrame } from '../../../../shared/onnx/wire/model-writer.ts'
import {
  concatenate,
  encodeText,
  fieldsOf,
  textOf,
  type WireField,
} from '../../../../shared/onnx/wire/protobuf.ts'
import { loadError, sessionOptions } from '../../serving/executor/ort-session.ts'

/** Field numbers of onnx.proto. */
const MODEL = { graph: 7 } as const
const GRAPH = { node: 1, initializer: 5, input: 11, sparse: 15 } as const
const NODE = { input: 1, output: 2, name: 3, attribute: 5 } as const
/** AttributeProto: `g` and `graphs`. */
const BODIES = [6, 11]
const TENSOR_NAME = 8
const SPARSE_VALUES = 1
const VALUE_NAME = 1
/** Path in a ValueInfoProto: type, tensor_type, shape. */
const SHAPE = [2, 1, 2]
const SHAPE_DIM = 1
const DIM_VALUE = 1

export class CutModel {
  readonly file: string
  readonly structure: Structure
  readonly #encoded: EncodedModel<EncodedNode, { bytes: Uint8Array }>

  /** @throws ScissionError invalidModel if the file is not an ONNX model. */
  static async open(file: string, structure: Structure): Promise<CutModel> {
    try {
      const parts = split(fs.readFileSync(file))
      const hasBodies = parts.graph(GRAPH.node).some(bodiesIn)
      return new CutModel(file, structure, parts, hasBodies ? await usesWithBodies() : undefined)
    } catch (thrown) {
      throw loadError(file, thrown)
    }
  }

  private constructor(file: string, structure: Structure, { frame, graph }: ModelParts, usesIn: UsesIn) {
    this.file = file
    this.structure = structure
    const named = (field: number, name: number[]) =>
      new Map(graph(field).map((bytes) => [textIn(bytes, name), bytes]))
    const inputs = named(GRAPH.input, [VALUE_NAME])
    const constants = named(GRAPH.initializer, [TENSOR_NAME])
    this.#encoded = {
      structure,
      frame,
      ...nodesByLayer(
        structure,
        graph(GRAPH.node).map((bytes) => nodeOf(bytes, usesIn)),
      ),
      constants: new Map([...constants].map(([name, bytes]) => [name, { bytes }])),
      sparse: named(GRAPH.sparse, [SPARSE_VALUES, TENSOR_NAME]),
      value: valueEncoder(structure, inputs, [...inputs.values()].some(hasOpenDimensions)),
    }
  }

  /** Layers [from, to) as the bytes of a model; its external data lies beside `file`. */
  range(from: number, to: number): Uint8Array {
    return encodeRange(this.#encoded, from, to).content
  }

  /**
   * A session of layers [from, to).
   * @throws ScissionError invalidModel with ONNX Runtime's own text.
   */
  async session(
    from: number,
    to: number,
    options: RuntimeOptions,
    more: InferenceSession.SessionOptions = {},
  ): Promise<InferenceSession> {
    const settings = withSessionExtra(
      { ...sessionOptions(options), ...more },
      { model_external_initializers_file_folder_path: path.dirname(path.resolve(this.file)) },
    )
    try {
      return await InferenceSession.create(this.range(from, to), settings)
    } catch (thrown) {
      throw loadError(this.file, thrown)
    }
  }
}

/** Adds entries to ONNX Runtime's session configuration. */
export function withSessionExtra(
  options: InferenceSession.SessionOptions,
  entries: Record<string, string>,
): InferenceSession.SessionOptions {
  const { session = {}, ...extra } = (options.extra ?? {}) as { session?: Record<string, unknown> }
  return { ...options, extra: { ...extra, session: { ...session, ...entries } } }
}

/**
 * Nodes by the layer that they are, renamed `L0`, `L1`, …: ONNX Runtime derives the names of fused nodes from those of
 * the nodes it fuses, and the nodes of real models have no names, or names that contain each other (layer-times.ts).
 */
function nodesByLayer({ layers }: Structure, nodes: readonly EncodedNode[]) {
  const makers = new Map(layers.flatMap((layer) => layer.outputs.map(({ name }) => [name, layer.index])))
  const prelude: EncodedNode[] = []
  const byLayer: (EncodedNode | undefined)[] = []
  for (const node of nodes) {
    const layer = node.outputs.map((name) => makers.get(name)).find((index) => index !== undefined)
    if (layer === undefined) prelude.push(node)
    // The last occurrence of a field counts.
    else byLayer[layer] = { ...node, bytes: concatenate([node.bytes, encodeText(NODE.name, `L${layer}`)]) }
  }
  return { prelude, layers: byLayer }
}

interface ModelParts {
  /** The fields of the model around its graph, as they are. */
  frame: ModelFrame
  /** The graph's messages of one field. */
  graph: (field: number) => Uint8Array[]
}

/** The tensors that a node reads, those captured by its bodies included; undefined if no node has a body. */
type UsesIn = ((node: Uint8Array) => ReadonlySet<string>) | undefined

function split(bytes: Uint8Array): ModelParts {
  const model = fieldsOf(bytes)
  const graph = model.find(({ field }) => field === MODEL.graph)
  if (!graph) throw new Error('the file holds no graph')
  const around = model.filter((one) => one !== graph).map(({ start, to }) => bytes.subarray(start, to))
  const fields = fieldsOf(bytes, graph.from, graph.to)
  return {
    frame: { prefix: concatenate(around), suffix: new Uint8Array(0) },
    graph: (wanted) =>
      fields.filter(({ field }) => field === wanted).map(({ from, to }) => bytes.subarray(from, to)),
  }
}

function bodiesIn(node: Uint8Array): boolean {
  return fieldsOf(node)
    .filter(({ field }) => field === NODE.attribute)
    .some(({ from, to }) => fieldsOf(node, from, to).some(({ field }) => BODIES.includes(field)))
}

/** Loads the protobuf library, for the few models with If, Loop or Scan. */
async function usesWithBodies(): Promise<UsesIn> {
  const [{ fromBinary }, { NodeProtoSchema }, { usesOf }] = await Promise.all([
    import('@bufbuild/protobuf'),
    import('../../../../shared/onnx/proto/onnx_pb.ts'),
    import('../../../../shared/onnx/canonical/scope.ts'),
  ])
  return (node) => usesOf(fromBinary(NodeProtoSchema, node))
}

function nodeOf(bytes: Uint8Array, usesIn: UsesIn): EncodedNode {
  const fields = fieldsOf(bytes)
  const texts = (wanted: number) =>
    fields.filter(({ field }) => field === wanted).map((field) => textOf(bytes, field))
  const uses = usesIn ? usesIn(bytes) : texts(NODE.input).filter(Boolean)
  return { bytes, uses, outputs: texts(NODE.output).filter(Boolean) }
}

/** Follows a path of fields from message to message. @returns undefined if one is missing. */
function fieldAt(message: Uint8Array, path: readonly number[]): WireField | undefined {
  let found: WireField | undefined
  for (const wanted of path) {
    const inside = fieldsOf(message, found?.from, found?.to)
    found = inside.findLast(({ field }) => field === wanted)
    if (!found) return undefined
  }
  return found
}

function textIn(message: Uint8Array, path: readonly number[]): string {
  const field = fieldAt(message, path)
  return field ? textOf(message, field) : ''
}

/** Tells whether a ValueInfoProto has a dimension without a number. */
function hasOpenDimensions(value: Uint8Array): boolean {
  const shape = fieldAt(value, SHAPE)
  return fieldsOf(value, shape?.from ?? 0, shape?.to ?? 0)
    .filter(({ field }) => field === SHAPE_DIM)
    .some(({ from, to }) => fieldsOf(value, from, to).every(({ field }) => field !== DIM_VALUE))
}
