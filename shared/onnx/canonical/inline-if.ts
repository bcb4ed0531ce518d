/**
 * Replaces an If whose condition is constant by the branch that it takes.
 *
 * Exporters leave such nodes behind, for example a shape check that is decided once shapes are fixed. As one layer they
 * would hide the cuts inside. ONNX Runtime does the same from level `basic` on.
 */
import { create } from '@bufbuild/protobuf'
import { type GraphProto, type NodeProto, NodeProtoSchema } from '../proto/onnx_pb.ts'
import { isExternal } from '../wire/external-data.ts'
import { rawBytes } from '../wire/tensor-data.ts'
import { onnxOperator, renameDefinitions } from './scope.ts'
import { Names } from './unique-names.ts'
import type { Graph } from './working-graph.ts'

/** @returns whether anything was replaced. */
export function inlineConstantIfs(graph: Graph): boolean {
  const before = graph.nodes
  const nodeNames = new Names(before.map(({ name }) => name))
  graph.nodes = before.flatMap((node) => {
    const branch = takenBranch(graph, node)
    return branch ? inline(graph, node, branch, nodeNames) : [node]
  })
  return graph.nodes.length !== before.length || graph.nodes.some((node, index) => node !== before[index])
}

function takenBranch(graph: Graph, node: NodeProto): GraphProto | undefined {
  const condition = graph.constants.get(node.input[0] ?? '')
  if (onnxOperator(node) !== 'If' || !condition || isExternal(condition)) return undefined
  const [value = 0] = rawBytes(condition, graph.dir)
  const name = value === 0 ? 'else_branch' : 'then_branch'
  return node.attribute.find((attribute) => attribute.name === name)?.g
}

/** The branch's nodes. Its tensors keep their names, which are unique (unique-names.ts); its nodes may need others. */
function inline(graph: Graph, node: NodeProto, branch: GraphProto, nodeNames: Names): NodeProto[] {
  const names = new Map<string, string>()
  const made = new Set(branch.node.flatMap((inner) => inner.output.filter(Boolean)))
  const copies: NodeProto[] = []
  for (const [index, output] of node.output.entries()) {
    const inner = branch.output[index]?.name
    if (!output || !inner) continue
    // A tensor made by the branch takes the name of the If's output; one that it passes on is copied under that name.
    if (made.has(inner) && !names.has(inner)) names.set(inner, output)
    else {
      const input = [names.get(inner) ?? inner]
      copies.push(create(NodeProtoSchema, { opType: 'Identity', name: output, input, output: [output] }))
    }
  }
  renameDefinitions(branch, names)
  for (const tensor of branch.initializer) graph.constants.set(tensor.name, tensor)
  for (const sparse of branch.sparseInitializer) graph.sparse.set(sparse.values?.name ?? '', sparse)
  const nodes = [...branch.node, ...copies]
  // ONNX Runtime refuses a graph in which two nodes have one name.
  for (const inner of nodes) if (inner.name) inner.name = nodeNames.fresh(inner.name)
  return nodes
}
