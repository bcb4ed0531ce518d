/**
 * Replaces an If whose condition is constant by the branch that it takes.
 *
 * Exporters leave such nodes behind, for example a shape check that is decided once shapes are fixed. As one layer they
 * would hide the cuts inside. ONNX Runtime does the same from level `basic` on.
 */
import { create } from '@bufbuild/protobuf'
import type { Graph } from './working-graph.ts'
import type { Types } from './infer-shapes.ts'
import { type GraphProto, type NodeProto, NodeProtoSchema } from '../proto/onnx_pb.ts'
import { definedIn, freshName, renameUses } from './scope.ts'
import { isExternal } from '../wire/external-data.ts'
import { rawBytes } from '../wire/tensor-data.ts'

/** @param types lists the names in use; new names are added. @returns whether anything was replaced. */
export function inlineConstantIfs(graph: Graph, types: Types): boolean {
  const before = graph.nodes
  graph.nodes = before.flatMap((node) => {
    const branch = takenBranch(graph, node)
    return branch ? inline(graph, node, branch, types) : [node]
  })
  return graph.nodes.length !== before.length || graph.nodes.some((node, index) => node !== before[index])
}

function takenBranch(graph: Graph, node: NodeProto): GraphProto | undefined {
  const condition = graph.constants.get(node.input[0] ?? '')
  if (node.opType !== 'If' || !condition || isExternal(condition)) return undefined
  const [value = 0] = rawBytes(condition, graph.dir)
  const name = value === 0 ? 'else_branch' : 'then_branch'
  const branch = node.attribute.find((attribute) => attribute.name === name)?.g
  // Branches with sparse initializers are too rare to support.
  return branch && branch.sparseInitializer.length === 0 ? branch : undefined
}

function inline(graph: Graph, node: NodeProto, branch: GraphProto, types: Types): NodeProto[] {
  const names = new Map<string, string>()
  const made = new Set(branch.node.flatMap((inner) => inner.output.filter(Boolean)))
  const copies: NodeProto[] = []
  for (const [index, output] of node.output.entries()) {
    const inner = branch.output[index]?.name
    if (!output || !inner) continue
    // A tensor made by the branch takes the name of the If's output; one that it passes on is copied under that name.
    if (made.has(inner) && !names.has(inner)) names.set(inner, output)
    else
      copies.push(
        create(NodeProtoSchema, { opType: 'Identity', name: output, input: [inner], output: [output] }),
      )
  }
  for (const name of definedIn(branch)) {
    if (names.has(name)) continue
    const free = freshName(name, types)
    types.set(free, { name: free, code: 0, shape: [] })
    names.set(name, free)
  }
  for (const tensor of branch.initializer) {
    tensor.name = names.get(tensor.name) ?? tensor.name
    graph.constants.set(tensor.name, tensor)
  }
  const nodes = [...branch.node, ...copies]
  for (const inner of nodes) renameUses(inner, names)
  for (const inner of branch.node) inner.output = inner.output.map((name) => names.get(name) ?? name)
  return nodes
}
