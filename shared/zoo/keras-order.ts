/**
 * The order of `model.layers` in Keras, which is neither creation order nor a plain depth-first order.
 *
 * Layers go by falling depth (longest way to the output), and at equal depth by a depth-first walk from the
 * output, counted when first met. Source: `map_graph_network` in Keras' functional models. Depth falls along
 * every edge, so the order is topological. The zoo uses it so that layer k here is layer k in published Keras
 * measurements.
 */
export function kerasOrder(inputs: readonly (readonly number[])[], output: number): number[] {
  const met = new Map<number, number>()
  const finished: number[] = []
  const visit = (layer: number): void => {
    if (met.has(layer)) return
    met.set(layer, met.size)
    for (const input of inputs[layer] ?? []) visit(input)
    finished.push(layer)
  }
  visit(output)

  const depths = new Map<number, number>()
  for (const layer of finished.toReversed()) {
    const depth = depths.get(layer) ?? 0
    depths.set(layer, depth)
    for (const input of inputs[layer] ?? []) depths.set(input, Math.max(depth + 1, depths.get(input) ?? 0))
  }
  const rank = (of: Map<number, number>, layer: number) => of.get(layer) ?? 0
  return finished.sort((a, b) => rank(depths, b) - rank(depths, a) || rank(met, a) - rank(met, b))
}
