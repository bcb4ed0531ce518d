/**
 * A whole model in memory, to open sessions of its layer ranges without writing files.
 *
 * The file is the range 0..N of the range store: its weights are references into files beside it, so a range is a small
 * message whose weights ONNX Runtime maps, like the sub-models of the executor (shared/onnx/structure/write-range.ts).
 * Nodes and constants are copied as they are encoded (split-model.ts).
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
import {
  fieldAt,
  GRAPH,
  type ModelParts,
  NAME_IN,
  splitModel,
  textIn,
} from '../../../../shared/onnx/structure/split-model.ts'
import { concatenate, encodeText, fieldsOf } from '../../../../shared/onnx/wire/protobuf.ts'
import { loadError, sessionOptions } from '../../serving/executor/ort-session.ts'

/** Field number in a NodeProto. */
const NODE_NAME = 3
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
      return new CutModel(file, structure, await splitModel(fs.readFileSync(file)))
    } catch (thrown) {
      throw loadError(file, thrown)
    }
  }

  private constructor(file: string, structure: Structure, { frame, graph, nodes, functions }: ModelParts) {
    this.file = file
    this.structure = structure
    const named = (field: number, name: readonly number[]) =>
      new Map(graph(field).map((bytes) => [textIn(bytes, name), bytes]))
    const inputs = named(GRAPH.input, NAME_IN.value)
    this.#encoded = {
      structure,
      frame,
      ...nodesByLayer(structure, nodes),
      constants: asParts(named(GRAPH.initializer, NAME_IN.tensor)),
      sparse: asParts(named(GRAPH.sparse, NAME_IN.sparse)),
      functions,
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
    else byLayer[layer] = { ...node, bytes: concatenate([node.bytes, encodeText(NODE_NAME, `L${layer}`)]) }
  }
  return { prelude, layers: byLayer }
}

/** Tells whether a ValueInfoProto has a dimension without a number. */
function hasOpenDimensions(value: Uint8Array): boolean {
  const shape = fieldAt(value, SHAPE)
  return fieldsOf(value, shape?.from ?? 0, shape?.to ?? 0)
    .filter(({ field }) => field === SHAPE_DIM)
    .some(({ from, to }) => fieldsOf(value, from, to).every(({ field }) => field !== DIM_VALUE))
}
