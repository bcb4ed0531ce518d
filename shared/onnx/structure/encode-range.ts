/**
 * The one writer of sub-models: layers [from, to) of a canonical model as an ONNX model, put together from parts that
 * were encoded once. Weights are references into the original file, so a sub-model has a few kilobytes. Loads no
 * protobuf library: the profiler's process starts with it.
 */
import type { TensorSpec } from '../../contracts/common.ts'
import type { Structure } from '../../contracts/model.ts'
import { reachedFunctions } from '../canonical/functions.ts'
import { elementTypeOfDatatype } from '../wire/element-types.ts'
import { assemble, encodeUntypedValue, encodeValue, type ModelFrame } from '../wire/model-writer.ts'

/** An encoded NodeProto with the tensors that it reads and makes. */
export interface EncodedNode extends EncodedPart {
  uses: Iterable<string>
  outputs: readonly string[]
  /** Keys of the functions that it calls itself; those of operators may be among them (canonical/functions.ts). */
  calls: Iterable<string>
}

export interface EncodedPart {
  bytes: Uint8Array
}

/** @typeParam Part what else is known of a node, constant or function. */
export interface EncodedModel<Part extends EncodedPart> {
  structure: Structure
  frame: ModelFrame
  /** Nodes computed from constants only, in order. */
  prelude: readonly (EncodedNode & Part)[]
  /** By layer index; a layer without a node of its own is undefined. */
  layers: readonly ((EncodedNode & Part) | undefined)[]
  /** Encoded TensorProtos by name. */
  constants: ReadonlyMap<string, Part>
  /** Encoded SparseTensorProtos by the name of their values. */
  sparse: ReadonlyMap<string, Part>
  /** Encoded FunctionProtos by key. */
  functions: ReadonlyMap<string, Part & { calls: Iterable<string> }>
  /** Encodes a tensor as a graph input or output. */
  value: (name: string) => Uint8Array
}

export interface EncodedRange<Part> {
  content: Uint8Array
  /** The parts that it was put together from. */
  parts: Part[]
  /** The tensors of boundary `to` that the range makes. */
  outputs: string[]
}

/** Encodes layers [from, to): at least one. */
export function encodeRange<Part extends EncodedPart>(
  model: EncodedModel<Part>,
  from: number,
  to: number,
): EncodedRange<Part> {
  const layers = model.layers.slice(from, to).filter((node) => node !== undefined)
  const needed = new Set(layers.flatMap(({ uses }) => [...uses]))
  const made = new Set(layers.flatMap((node) => node.outputs))
  const frontier = (k: number) => model.structure.boundaries[k]?.tensors ?? []
  const inputs = frontier(from).filter((name) => needed.has(name))
  const outputs = frontier(to).filter((name) => made.has(name))
  const nodes = [...preludeFor(model.prelude, needed), ...layers]
  const constants = neededOf(model.constants, needed)
  const sparse = neededOf(model.sparse, needed)
  const functions = reachedFunctions(
    model.functions,
    nodes.flatMap(({ calls }) => [...calls]),
  )
  const content = assemble(model.frame, `layers ${from} to ${to}`, {
    nodes: nodes.map(bytesOf),
    initializers: constants.map(bytesOf),
    sparse: sparse.map(bytesOf),
    functions: functions.map(bytesOf),
    inputs: inputs.map(model.value),
    outputs: outputs.map(model.value),
  })
  return { content, parts: [...nodes, ...constants, ...sparse, ...functions], outputs }
}

const bytesOf = ({ bytes }: EncodedPart): Uint8Array => bytes

const neededOf = <T>(all: ReadonlyMap<string, T>, needed: ReadonlySet<string>): T[] =>
  [...all].filter(([name]) => needed.has(name)).map(([, one]) => one)

/** The prelude nodes behind `needed`, which grows by what they read themselves. */
function preludeFor<Node extends EncodedNode>(prelude: readonly Node[], needed: Set<string>): Node[] {
  const used: Node[] = []
  for (const node of prelude.toReversed()) {
    if (!node.outputs.some((name) => needed.has(name))) continue
    used.unshift(node)
    for (const name of node.uses) needed.add(name)
  }
  return used
}

/**
 * Encodes tensors as graph inputs or outputs of sub-models.
 * @param own encoded ValueInfoProtos that are used as they are: of the model's inputs, and of its tensors if they have open dimensions with names.
 * @param isOpen the model's inputs have open dimensions: then those of its inner tensors stay open too.
 */
export function valueEncoder(
  { inputs, layers }: Pick<Structure, 'inputs' | 'layers'>,
  own: ReadonlyMap<string, Uint8Array>,
  isOpen: boolean,
): (name: string) => Uint8Array {
  const specs = new Map<string, TensorSpec>(
    [...inputs, ...layers.flatMap((layer) => layer.outputs)].map((spec) => [spec.name, spec]),
  )
  return (name) => {
    const known = own.get(name)
    if (known) return known
    const spec = specs.get(name)
    if (!spec) return encodeUntypedValue(name)
    const code = elementTypeOfDatatype(spec.datatype)?.code ?? 0
    const shape = isOpen ? spec.shape.map(() => -1) : spec.shape
    return encodeValue({ name, code, shape, ...(spec.anyRank && { anyRank: true }) })
  }
}
