/**
 * Hides inside layers what cannot be sent.
 *
 * Sequences, maps and optionals are no tensors, and some element types (bfloat16, float8, int4) are not in the protocol or
 * not in onnxruntime-node. No boundary may separate the node that makes such a value from those that read it. These nodes,
 * and all nodes on a path from one of them to another, become one layer. Which values these are is what ONNX Runtime says of their types: no list of
 * operators would know what a function or a branch returns.
 */
import type { NodeProto } from '../proto/onnx_pb.ts'
import { elementTypeOf } from '../wire/element-types.ts'
import { stronglyConnected } from './components.ts'
import { constantNodes } from './fold.ts'
import type { Types } from './infer-shapes.ts'
import { joinNodes } from './join-nodes.ts'
import { makersOf, usesOf } from './scope.ts'
import type { Graph } from './working-graph.ts'

/**
 * Makes one layer of each group of nodes that share unsendable values. Constants are left alone: each
 * range computes them again.
 * @returns whether there were any.
 */
export function hideUnsendable(graph: Graph, types: Types): boolean {
  const constant = constantNodes(graph)
  const nodes = graph.nodes.filter((node) => !constant.has(node))
  const groups = groupsOf(nodes, (name) => !elementTypeOf(types.get(name)?.code ?? 0)?.datatype)
  if (groups.length === 0) return false
  graph.nodes = joinNodes(graph, graph.nodes, groups)
  return true
}

/** The nodes that must stay together, in order. */
function groupsOf(nodes: readonly NodeProto[], isUnsendable: (name: string) => boolean): NodeProto[][] {
  const maker = makersOf(nodes)
  const uses = nodes.map((node) =>
    [...usesOf(node)].flatMap((name) => {
      const from = maker.get(name)
      return from === undefined ? [] : [{ name, from }]
    }),
  )
  const makes = new Set<number>()
  for (const [name, index] of maker) if (isUnsendable(name)) makes.add(index)
  if (makes.size === 0) return []
  // The maker of an unsendable value also depends on its readers: so they are on a cycle, with all nodes between them.
  const back = new Map<number, number[]>()
  for (const [index, read] of uses.entries())
    for (const { name, from } of read)
      if (isUnsendable(name)) back.set(from, [...(back.get(from) ?? []), index])
  const component = stronglyConnected(nodes.length, (index) => [
    ...(uses[index] ?? []).map(({ from }) => from),
    ...(back.get(index) ?? []),
  ])
  const hiding = new Set([...makes].map((index) => component[index]))
  const groups = new Map<number, NodeProto[]>()
  for (const [index, node] of nodes.entries()) {
    const number = component[index] ?? 0
    if (hiding.has(number)) groups.set(number, [...(groups.get(number) ?? []), node])
  }
  return [...groups.values()]
}
