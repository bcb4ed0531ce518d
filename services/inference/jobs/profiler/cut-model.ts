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
  type EncodedPart,
  valueEncoder,
} from '../../../../shared/onnx/structure/encode-range.ts'
import { functionsByKey, operatorKeys } from '../../../../shared/onnx/canonical/functions.ts'
import { usesOf } from '../../../../shared/onnx/canonical/scope.ts'
import { type ModelFrame, MODEL_FUNCTIONS } from '../../../../shared/onnx/wire/model-writer.ts'
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
  readonly #encoded: EncodedModel<EncodedPart>

  /** @throws ScissionError invalidModel if the file is not an ONNX model. */
  static async open(file: string, structure: Structure): Promise<CutModel> {
    try {
      const parts = split(fs.readFileSync(file))
      const isPlain = parts.functions.length === 0 && !parts.graph(GRAPH.node).some(bodiesIn)
      return new CutModel(file, structure, parts, isPlain ? PLAIN : await loadDecoder())
    } catch (thrown) {
      throw loadError(file, thrown)
    }
  }

  private constructor(
    file: string,
    structure: Structure,
    { frame, graph, functions }: ModelParts,
    decoder: Decoder,
  ) {
    this.file = file
    this.structure = structure
    const named = (field: number, name: number[]) =>
      new Map(graph(field).map((bytes) => [textIn(bytes, name), bytes]))
    const inputs = named(GRAPH.input, [VALUE_NAME])
    this.#encoded = {
      structure,
      frame,
      ...nodesByLayer(
        structure,
        graph(GRAPH.node).map((bytes) => nodeOf(bytes, decoder)),
      ),
      constants: asParts(named(GRAPH.initializer, [TENSOR_NAME])),
      sparse: asParts(named(GRAPH.sparse, [SPARSE_VALUES, TENSOR_NAME])),
      functions: decoder.functions(functions),
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

const asParts = (encoded: ReadonlyMap<string, Uint8Array>): Map<string, EncodedPart> =>
  new Map([...encoded].map(([name, bytes]) => [name, { bytes }]))

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
  /** The fields of the model around its graph and functions, as they are. */
  frame: ModelFrame
  /** The graph's messages of one field. */
  graph: (field: number) => Uint8Array[]
  functions: Uint8Array[]
}

/** Reads what stands deeper in an encoded node, and functions. */
interface Decoder {
  /** What a node reads and calls, its bodies included. @param inputs the node's own. */
  node: (bytes: Uint8Array, inputs: readonly string[]) => Pick<EncodedNode, 'uses' | 'calls'>
  functions: (encoded: readonly Uint8Array[]) => EncodedModel<EncodedPart>['functions']
}

/** For models without bodies and functions. */
const PLAIN: Decoder = {
  node: (_bytes, inputs) => ({ uses: inputs, calls: [] }),
  functions: () => new Map(),
}

function split(bytes: Uint8Array): ModelParts {
  const model = fieldsOf(bytes)
  const graph = model.find(({ field }) => field === MODEL.graph)
  if (!graph) throw new Error('the file holds no graph')
  const around = model.filter((one) => one !== graph && one.field !== MODEL_FUNCTIONS)
  const fields = fieldsOf(bytes, graph.from, graph.to)
  const payloads = (all: readonly WireField[], wanted: number) =>
    all.filter(({ field }) => field === wanted).map(({ from, to }) => bytes.subarray(from, to))
  return {
    frame: {
      prefix: concatenate(around.map(({ start, to }) => bytes.subarray(start, to))),
      suffix: new Uint8Array(0),
    },
    graph: (wanted) => payloads(fields, wanted),
    functions: payloads(model, MODEL_FUNCTIONS),
  }
}

function bodiesIn(node: Uint8Array): boolean {
  return fieldsOf(node)
    .filter(({ field }) => field === NODE.attribute)
    .some(({ from, to }) => fieldsOf(node, from, to).some(({ field }) => BODIES.includes(field)))
}

/** Loads the protobuf library, for the few models with If, Loop, Scan or functions. */
async function loadDecoder(): Promise<Decoder> {
  const [{ fromBinary }, { FunctionProtoSchema, NodeProtoSchema }] = await Promise.all([
    import('@bufbuild/protobuf'),
    import('../../../../shared/onnx/proto/onnx_pb.ts'),
  ])
  return {
    node: (bytes) => {
      const node = fromBinary(NodeProtoSchema, bytes)
      return { uses: usesOf(node), calls: operatorKeys([node]) }
    },
    functions: (encoded) => {
      const decoded = new Map(encoded.map((bytes) => [fromBinary(FunctionProtoSchema, bytes), { bytes }]))
      return functionsByKey([...decoded.keys()], (fn) => decoded.get(fn)!)
    },
  }
}

function nodeOf(bytes: Uint8Array, decoder: Decoder): EncodedNode {
  const fields = fieldsOf(bytes)
  const texts = (wanted: number) =>
    fields.filter(({ field }) => field === wanted).map((field) => textOf(bytes, field))
  const inputs = texts(NODE.input).filter(Boolean)
  return { bytes, outputs: texts(NODE.output).filter(Boolean), ...decoder.node(bytes, inputs) }
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
