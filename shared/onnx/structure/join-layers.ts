/** Makes one layer of layers between which a cut changes results. */
import type { CanonicalGraph } from '../canonical/canonicalise.ts'
import { joinNodes } from '../canonical/join-nodes.ts'
import { nodeLabel } from '../canonical/scope.ts'
import type { NodeProto } from '../proto/onnx_pb.ts'

/**
 * Joins, in place, the layers on both sides of each boundary.
 * @param changing the boundaries, each with what a cut there changes. @returns what to tell the user.
 */
export function joinLayers(canonical: CanonicalGraph, changing: ReadonlyMap<number, string>): string[] {
  const { graph, layers, prelude } = canonical
  const groups: NodeProto[][] = []
  const said: string[] = []
  for (const [index, node] of layers.entries()) {
    const change = changing.get(index)
    if (change === undefined) continue
    const group = groups.at(-1)
    const before = layers[index - 1]
    if (group && before && group.includes(before)) group.push(node)
    else if (before) {
      groups.push([before, node])
      said.push(change)
    }
  }
  canonical.layers = joinNodes(graph, layers, groups)
  graph.nodes = [...prelude, ...canonical.layers]
  return groups.map(
    (group, index) =>
      `${group.length} layers, ${nodeLabel(group[0]!)} to ${nodeLabel(group.at(-1)!)}, are one: ONNX Runtime computes ` +
      `them in another way when they are apart, which changes ${said[index]}`,
  )
}
