/**
 * Folds constants: replaces nodes that depend on constants only by their results.
 *
 * Small results are computed once by ONNX Runtime and become constants. Nodes with large results stay (the prelude):
 * written out, one model's results would turn 9 kB into 575 MB, and ONNX Runtime folds them anyway when it opens a session.
 * DequantizeLinear of a weight always stays, because quantised kernels are recognised by the pair of weight and scale.
 * Shape and Size of a tensor whose shape is known are constants too.
 */
import type { Tensor } from '../../contracts/tensor.ts'
import { assembleGraph } from './encode-graph.ts'
import { CODE, elementTypeOf, elementTypeOfDatatype, bytesOfType } from '../wire/element-types.ts'
import { functionKey, operatorKey } from './functions.ts'
import type { Graph } from './working-graph.ts'
import type { Types } from './infer-shapes.ts'
import type { NodeProto } from '../proto/onnx_pb.ts'
import { asInvalidModel, fromRuntime, openSession } from '../runtime/analysis-session.ts'
import { RANDOM } from './random-operators.ts'
import { bodiesOf, nodesBehind, onnxOperator, renameUses, runtimeOperator, usesOf } from './scope.ts'
import { rawTensor } from '../wire/tensor-data.ts'
import { withWorkFile } from './work-files.ts'

/** Results up to this size are written into the canonical file; larger ones are recomputed by each session. */
const FOLDED_BYTES = 64 * 1024

/**
 * Folds once; the results may allow further folding.
 * @param unfoldable names of results that proved too large; new ones are added.
 * @returns whether anything changed. @throws ScissionError invalidModel
 */
export async function foldOnce(graph: Graph, types: Types, unfoldable: Set<string>): Promise<boolean> {
  const aliases = dropAliases(graph)
  const shapes = foldShapes(graph, types)
  const computed = await foldComputed(graph, types, unfoldable)
  dropDead(graph)
  return aliases || shapes || computed
}

/** The nodes that depend on constants only, in order. Those that are not folded become the prelude. */
export function constantNodes(graph: Graph): Set<NodeProto> {
  const constant = new Set([...graph.constants.keys(), ...graph.sparse.keys()])
  const nodes = new Set<NodeProto>()
  for (const node of graph.nodes) {
    if (isRandom(node, graph) || ![...usesOf(node)].every((name) => constant.has(name))) continue
    nodes.add(node)
    for (const output of node.output) constant.add(output)
  }
  return nodes
}

function isRandom(node: NodeProto, graph: Graph): boolean {
  if (RANDOM.has(onnxOperator(node) ?? '')) return true
  const functions = graph.functions.filter((fn) => functionKey(fn) === operatorKey(node))
  const inside = [...functions.flatMap((fn) => fn.node), ...bodiesOf(node).flatMap((body) => body.node)]
  return inside.some((inner) => inner !== node && isRandom(inner, graph))
}

/** Removes nodes that nothing needs, and constants that nothing reads. */
export function dropDead(graph: Graph): void {
  const needed = new Set(graph.outputs)
  graph.nodes = nodesBehind(needed, graph.nodes)
  for (const name of graph.constants.keys()) if (!needed.has(name)) graph.constants.delete(name)
  for (const name of graph.sparse.keys()) if (!needed.has(name)) graph.sparse.delete(name)
}

/** Removes Identity nodes of constants: their readers read the constant itself. @returns whether there were any. */
export function dropAliases(graph: Graph): boolean {
  return dropCopies(graph, (source) => graph.constants.has(source) || graph.sparse.has(source))
}

/** Removes Identity nodes that make no output of the graph, of the sources that are chosen. @returns whether there were any. */
export function dropCopies(graph: Graph, isChosen: (source: string) => boolean): boolean {
  const names = new Map<string, string>()
  const outputs = new Set(graph.outputs)
  graph.nodes = graph.nodes.filter((node) => {
    const [from = ''] = node.input
    const [to = ''] = node.output
    const source = names.get(from) ?? from
    if (onnxOperator(node) !== 'Identity' || !isChosen(source) || outputs.has(to)) return true
    names.set(to, source)
    return false
  })
  if (names.size > 0) for (const node of graph.nodes) renameUses(node, names)
  return names.size > 0
}

function foldShapes(graph: Graph, types: Types): boolean {
  const before = graph.nodes.length
  const outputs = new Set(graph.outputs)
  graph.nodes = graph.nodes.filter((node) => {
    const shape = types.get(node.input[0] ?? '')?.shape
    const [name = ''] = node.output
    // ONNX Runtime also reports rank 0 if it does not know the rank.
    if (!shape || shape.length === 0 || shape.includes(-1) || outputs.has(name)) return true
    const operator = onnxOperator(node)
    const values = operator === 'Shape' ? slice(node, shape) : operator === 'Size' ? size(shape) : undefined
    if (!values) return true
    const dims = operator === 'Size' ? [] : [values.length]
    const raw = new Uint8Array(BigInt64Array.from(values, BigInt).buffer)
    graph.constants.set(name, rawTensor(name, CODE.INT64, dims, raw))
    return false
  })
  return graph.nodes.length < before
}

/** @see https://onnx.ai/onnx/operators/onnx__Shape.html for `start` and `end` */
function slice(node: NodeProto, shape: readonly number[]): number[] {
  const attribute = (name: string) => node.attribute.find((candidate) => candidate.name === name)?.i
  const end = attribute('end')
  return shape.slice(Number(attribute('start') ?? 0n), end === undefined ? undefined : Number(end))
}

function size(shape: readonly number[]): number[] {
  return [shape.reduce((product, dim) => product * dim, 1)]
}

/** Bytes of a node's output; undefined if the shape is unknown, Infinity for types that cannot be read back. */
function outputBytes(types: Types, name: string): number | undefined {
  const type = types.get(name)
  const element = elementTypeOf(type?.code ?? 0)
  if (!type || !element?.runtime || element.code === CODE.STRING || element.bits < 8)
    return Number.POSITIVE_INFINITY
  return bytesOfType(type)
}

async function foldComputed(graph: Graph, types: Types, unfoldable: Set<string>): Promise<boolean> {
  const constant = constantNodes(graph)
  const fold = new Set(
    [...constant].filter(
      (node) =>
        runtimeOperator(node) !== 'DequantizeLinear' &&
        node.output.every(
          (name) => !name || (!unfoldable.has(name) && (outputBytes(types, name) ?? 0) <= FOLDED_BYTES),
        ),
    ),
  )
  const wanted = new Set(graph.outputs)
  for (const node of graph.nodes) if (!fold.has(node)) for (const name of usesOf(node)) wanted.add(name)
  const results = [...fold].flatMap((node) => node.output.filter((name) => wanted.has(name)))
  if (results.length === 0) return false
  const values = await compute(graph, constant, results)
  for (const value of values) if (value.bytes.length > FOLDED_BYTES) unfoldable.add(value.name)
  const done = new Map(values.map((value) => [value.name, value]))
  // A node is replaced as a whole: with all of its results that are used, or not at all.
  graph.nodes = graph.nodes.filter((node) => {
    const outputs = node.output.filter((name) => wanted.has(name))
    if (!fold.has(node) || outputs.length === 0 || outputs.some((name) => unfoldable.has(name))) return true
    for (const name of outputs) addConstant(graph, done.get(name))
    return false
  })
  return true
}

function addConstant(graph: Graph, value: Tensor | undefined): void {
  if (!value) return
  const code = elementTypeOfDatatype(value.datatype)?.code ?? CODE.UNDEFINED
  graph.constants.set(value.name, rawTensor(value.name, code, value.shape, new Uint8Array(value.bytes)))
}

/** Runs the constant nodes that `results` need. */
async function compute(
  graph: Graph,
  constant: ReadonlySet<NodeProto>,
  results: readonly string[],
): Promise<Tensor[]> {
  const needed = new Set(results)
  const nodes = nodesBehind(needed, [...constant])
  const keeps = (name: string) => needed.has(name)
  const model = assembleGraph(graph, { nodes, inputs: [], outputs: results, keeps })
  return withWorkFile(graph.dir, model, async (file) => {
    try {
      const session = await openSession(file, { level: 'disabled' })
      const values = await session.run({})
      const tensors = results.map((name) => fromRuntime(name, values[name]!))
      await session.release()
      return tensors
    } catch (error) {
      throw asInvalidModel('cannot compute what the model derives from its constants', error)
    }
  })
}
