/**
 * A whole model held in memory, to make sessions of any of its layer ranges without writing files.
 *
 * The file is the range 0..N that the range store gave: its weights are references into files beside it, so a range is
 * a small message whose weights ONNX Runtime maps, like the sub-models that the executor loads (shared/onnx/structure/write-range.ts).
 * Nodes and constants are only looked at and copied as they are encoded: to decode a network of a thousand layers and
 * to encode its ranges again takes a new process as long as twenty of its runs.
 */
import fs from 'node:fs'
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import type { Structure } from '../../../../shared/contracts/model.ts'
import { elementTypeOfDatatype } from '../../../../shared/onnx/wire/element-types.ts'
import { fieldsOf, textOf, type WireField } from '../../../../shared/onnx/wire/protobuf.ts'
import {
  assemble,
  encodeText,
  encodeUntypedValue,
  encodeValue,
  type ModelFrame,
} from '../../../../shared/onnx/wire/model-writer.ts'
import { concatenate } from '../../../../shared/onnx/wire/file-reader.ts'
import { loadError } from '../../serving/executor/ort-errors.ts'

/** An encoded node or constant, and the tensors that it reads and makes. */
interface Part {
  bytes: Uint8Array
  uses: Iterable<string>
  outputs: readonly string[]
}

interface NamedPart {
  name: string
  bytes: Uint8Array
}

/** Field numbers of onnx.proto. */
const MODEL = { graph: 7 } as const
const GRAPH = { node: 1, initializer: 5, input: 11, sparse: 15 } as const
const NODE = { input: 1, output: 2, name: 3, attribute: 5 } as const
/** Of an attribute: `g` and `graphs`. */
const BODIES = [6, 11]
const TENSOR_NAME = 8
const SPARSE_VALUES = 1
const VALUE_NAME = 1
/** From a ValueInfoProto: type, tensor_type, shape. */
const SHAPE = [2, 1, 2]
const SHAPE_DIM = 1
const DIM_VALUE = 1

export class CutModel {
  readonly file: string
  readonly structure: Structure
  readonly #frame: ModelFrame
  /** What only depends on constants, and is worked out by ONNX Runtime when it loads. */
  readonly #prelude: Part[] = []
  /** By layer. Nodes are named `L0`, `L1`, … so that what ONNX Runtime fuses can be told (layer-names.ts). */
  readonly #layers: Part[] = []
  readonly #constants: NamedPart[]
  readonly #sparse: NamedPart[]
  readonly #inputs: ReadonlyMap<string, Uint8Array>
  /** Whether its own inputs have open dimensions. */
  readonly #open: boolean
  readonly #specs: ReadonlyMap<string, TensorSpec>

  /** @throws ScissionError invalidModel when the file is not an ONNX model. */
  static async open(file: string, structure: Structure): Promise<CutModel> {
    try {
      const parts = split(fs.readFileSync(file))
      const hasBodies = parts.graph(GRAPH.node).some(bodiesIn)
      const usesIn = hasBodies ? (await import('./body-uses.ts')).usesIn : undefined
      return new CutModel(file, structure, parts, usesIn)
    } catch (thrown) {
      throw loadError(file, thrown)
    }
  }

  private constructor(file: string, structure: Structure, parts: ModelParts, usesIn: UsesIn) {
    this.file = file
    this.structure = structure
    const { layers, inputs } = structure
    this.#specs = new Map([...inputs, ...layers.flatMap((layer) => layer.outputs)].map((s) => [s.name, s]))
    const { frame, graph } = parts
    this.#frame = frame
    const named = (field: number, name: number[]) =>
      graph(field).map((bytes) => ({ name: textIn(bytes, name), bytes }))
    this.#constants = named(GRAPH.initializer, [TENSOR_NAME])
    this.#sparse = named(GRAPH.sparse, [SPARSE_VALUES, TENSOR_NAME])
    this.#inputs = new Map(named(GRAPH.input, [VALUE_NAME]).map(({ name, bytes }) => [name, bytes]))
    this.#open = [...this.#inputs.values()].some(hasOpenDimensions)
    const makers = new Map(layers.flatMap((layer) => layer.outputs.map(({ name }) => [name, layer.index])))
    for (const node of graph(GRAPH.node).map((bytes) => partOf(bytes, usesIn))) {
      const layer = node.outputs.map((name) => makers.get(name)).find((index) => index !== undefined)
      if (layer === undefined) this.#prelude.push(node)
      else this.#layers[layer] = { ...node, bytes: renamed(node.bytes, `L${layer}`) }
    }
  }

  /** Layers `from`..`to`-1 as a model's bytes; its external data lies beside `file`. */
  range(from: number, to: number): Uint8Array {
    const layers = this.#layers.slice(from, to).filter((part) => part !== undefined)
    const made = new Set(layers.flatMap(({ outputs }) => outputs))
    const needed = new Set(layers.flatMap(({ uses }) => [...uses]))
    const prelude = this.#preludeFor(needed)
    const inputs = this.#frontier(from).filter((name) => needed.has(name))
    const outputs = this.#frontier(to).filter((name) => made.has(name))
    const bytesOf = (parts: readonly NamedPart[]) =>
      parts.filter(({ name }) => needed.has(name)).map(({ bytes }) => bytes)
    return assemble(this.#frame, `layers ${from} to ${to}`, {
      nodes: [...prelude, ...layers].map(({ bytes }) => bytes),
      initializers: bytesOf(this.#constants),
      sparse: bytesOf(this.#sparse),
      inputs: inputs.map((name) => this.#value(name)),
      outputs: outputs.map((name) => this.#value(name)),
    })
  }

  #frontier(k: number): readonly string[] {
    return this.structure.boundaries[k]?.tensors ?? []
  }

  #preludeFor(needed: Set<string>): Part[] {
    const used: Part[] = []
    for (const part of this.#prelude.toReversed()) {
      if (!part.outputs.some((name) => needed.has(name))) continue
      used.unshift(part)
      for (const name of part.uses) needed.add(name)
    }
    return used
  }

  /** A model whose own inputs are open was given to us open, and its pieces stay so. */
  #value(name: string): Uint8Array {
    const known = this.#inputs.get(name)
    if (known) return known
    const spec = this.#specs.get(name)
    if (!spec) return encodeUntypedValue(name)
    const code = elementTypeOfDatatype(spec.datatype)?.code ?? 0
    return encodeValue({ name, code, shape: this.#open ? spec.shape.map(() => -1) : spec.shape })
  }
}

interface ModelParts {
  /** The model around the graph, as it is. */
  frame: ModelFrame
  /** The messages in the graph by their field. */
  graph: (field: number) => Uint8Array[]
}

/** What a node with bodies reads; undefined where no node has any. */
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

function partOf(bytes: Uint8Array, usesIn: UsesIn): Part {
  const fields = fieldsOf(bytes)
  const texts = (wanted: number) =>
    fields.filter(({ field }) => field === wanted).map((field) => textOf(bytes, field))
  const uses = usesIn ? usesIn(bytes) : texts(NODE.input).filter(Boolean)
  return { bytes, uses, outputs: texts(NODE.output).filter(Boolean) }
}

/** Of a field that may occur once the last occurrence counts. */
function renamed(node: Uint8Array, name: string): Uint8Array {
  return concatenate([node, encodeText(NODE.name, name)])
}

/** What a path of fields leads to, from message to message; undefined where one is not there. */
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

/** Whether a ValueInfoProto has a dimension without a number. */
function hasOpenDimensions(value: Uint8Array): boolean {
  const shape = fieldAt(value, SHAPE)
  return fieldsOf(value, shape?.from ?? 0, shape?.to ?? 0)
    .filter(({ field }) => field === SHAPE_DIM)
    .some(({ from, to }) => fieldsOf(value, from, to).every(({ field }) => field !== DIM_VALUE))
}
