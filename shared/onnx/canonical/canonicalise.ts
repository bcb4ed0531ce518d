/**
 * Makes the canonical graph of a file: the form in which layers are counted and cuts are made.
 *
 * Input shapes are fixed, constants folded, dead nodes dropped. Folding and shape inference feed each other (a folded
 * shape gives a Reshape its size, which makes the next Shape a constant), so they alternate until nothing changes.
 * The remaining nodes are split into the prelude (those that depend on constants only) and the layers.
 */
import { create } from '@bufbuild/protobuf'
import type { InputShapes } from '../../contracts/common.ts'
import { constantNodes, dropAliases, dropCopies, dropDead, foldOnce } from './fold.ts'
import { type Graph, loadGraph } from './working-graph.ts'
import { inferTypes, type Types } from './infer-shapes.ts'
import { inlineConstantIfs } from './inline-if.ts'
import { type NodeProto, NodeProtoSchema } from '../proto/onnx_pb.ts'
import { onnxOperator, renameUses, usesOf } from './scope.ts'
import { hideUnsendable } from './unsendable.ts'
import { entryOf } from '../../platform/entry-of.ts'

/** Each round folds at least one node; real models need two or three. */
const MAX_ROUNDS = 50

export interface CanonicalGraph {
  graph: Graph
  /** Nodes computed from constants only whose results are too large to fold. In order, before all layers. */
  prelude: NodeProto[]
  /** The nodes that do work at run time, in canonical order. */
  layers: NodeProto[]
  types: Types
}

/**
 * @param open keeps the dimensions open that the file leaves open: `inputShapes` then fold nothing.
 * @throws ScissionError invalidModel, needsInputShapes, badRequest
 */
export async function canonicalise(
  dir: string,
  file: string,
  inputShapes: InputShapes | undefined,
  open = false,
): Promise<CanonicalGraph> {
  const graph = loadGraph(dir, file, inputShapes, open)
  dropDead(graph)
  const unfoldable = new Set<string>()
  let types = await firstTypes(graph)
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const inlined = inlineConstantIfs(graph)
    if (!(await foldOnce(graph, types, unfoldable)) && !inlined) break
    types = await inferTypes(graph)
  }
  blankUnusedOutputs(graph)
  makeOutputsLayers(graph, types)
  if (hideUnsendable(graph, types)) types = await inferTypes(graph)
  const outputs = new Set(graph.outputs)
  const constant = constantNodes(graph)
  const prelude = graph.nodes.filter(
    (node) => constant.has(node) && !node.output.some((name) => outputs.has(name)),
  )
  const layers = delaySources(
    graph.nodes.filter((node) => !prelude.includes(node)),
    new Set(graph.inputs.map((input) => input.name)),
  )
  return { graph, prelude, layers, types }
}

/**
 * ONNX Runtime has no kernel that copies numbers of 4 bits: of such a tensor it removes an Identity before it looks for one.
 * If it refuses the graph, it is asked again without any.
 */
async function firstTypes(graph: Graph): Promise<Types> {
  dropAliases(graph)
  try {
    return await inferTypes(graph)
  } catch (refusal) {
    if (!dropCopies(graph, () => true)) throw refusal
    return inferTypes(graph).catch(() => {
      throw refusal
    })
  }
}

/**
 * Moves layers that depend on no graph input (a random number, a constant output) right before their first reader, or to
 * the end: computed early, their outputs would cross every boundary in between.
 */
function delaySources(layers: readonly NodeProto[], inputs: ReadonlySet<string>): NodeProto[] {
  const dependent = new Set(inputs)
  const waiting = new Map<string, NodeProto>()
  const ordered: NodeProto[] = []
  const release = (node: NodeProto) => {
    for (const name of usesOf(node)) {
      const source = waiting.get(name)
      if (!source) continue
      for (const output of source.output) waiting.delete(output)
      release(source)
      ordered.push(source)
    }
  }
  for (const node of layers) {
    if ([...usesOf(node)].some((name) => dependent.has(name))) {
      release(node)
      ordered.push(node)
      for (const output of node.output) dependent.add(output)
    } else for (const output of node.output) waiting.set(output, node)
  }
  return [...ordered, ...new Set(waiting.values())]
}

/**
 * Operators whose outputs from this index on are optional: unused ones, such as masks, need not be computed. Not
 * BatchNormalization, whose outputs say whether it normalises with the statistics of the batch.
 */
const OPTIONAL_OUTPUTS: Readonly<Record<string, number>> = {
  Dropout: 1,
  MaxPool: 1,
  LayerNormalization: 1,
  LSTM: 0,
  GRU: 0,
  RNN: 0,
}

function blankUnusedOutputs(graph: Graph): void {
  const used = new Set(graph.outputs)
  for (const node of graph.nodes) for (const name of usesOf(node)) used.add(name)
  for (const node of graph.nodes) {
    const optional = entryOf(OPTIONAL_OUTPUTS, onnxOperator(node) ?? '')
    if (optional === undefined) continue
    node.output = node.output.map((name, index) => (index >= optional && !used.has(name) ? '' : name))
    while (node.output.at(-1) === '') node.output.pop()
  }
}

/** Gives a graph output that is a constant a layer that copies it, so that a range produces it. */
function makeOutputsLayers(graph: Graph, types: Types): void {
  const constant = constantNodes(graph)
  const madeByPrelude = new Set([...constant].flatMap((node) => node.output))
  for (const output of graph.outputs) {
    const tensor = graph.constants.get(output)
    if (!tensor && !madeByPrelude.has(output)) continue
    const source = graph.names.fresh(`${output}/constant`)
    const type = types.get(output)
    if (type) types.set(source, { ...type, name: source })
    if (tensor) {
      graph.constants.delete(output)
      tensor.name = source
      graph.constants.set(source, tensor)
    }
    const names = new Map([[output, source]])
    for (const node of graph.nodes) {
      node.output = node.output.map((name) => names.get(name) ?? name)
      renameUses(node, names)
    }
    graph.nodes.push(create(NodeProtoSchema, { opType: 'Identity', input: [source], output: [output] }))
  }
}
