/** The slow, obvious versions of what boundaries.ts computes. */
import type { Structure } from '../../../shared/contracts/model.ts'

type Graph = Pick<Structure, 'inputs' | 'outputs' | 'layers'>

/**
 * Tensors without which no output can be reached from any input: remove each and look. Layers without inputs (a random
 * number, a constant output) need nothing to cross, so no path begins at them.
 */
export function singleCutTensors(graph: Graph): Set<string> {
  const all = [...graph.inputs, ...graph.layers.flatMap((layer) => layer.outputs)].map(({ name }) => name)
  return new Set(all.filter((name) => isUsed(graph, name) && !reachable(graph, name)))
}

function isUsed({ layers, outputs }: Graph, name: string): boolean {
  return layers.some(({ inputs }) => inputs.includes(name)) || outputs.some((output) => output.name === name)
}

/** True if some output can still be reached when `removed` is gone. */
export function reachable({ inputs, outputs, layers }: Graph, removed?: string): boolean {
  const reached = new Set(inputs.map(({ name }) => name))
  if (removed !== undefined) reached.delete(removed)
  for (const layer of layers) {
    if (!layer.inputs.some((name) => reached.has(name))) continue
    for (const { name } of layer.outputs) if (name !== removed) reached.add(name)
  }
  return outputs.some(({ name }) => reached.has(name))
}

/** The frontier of boundary k, by its definition. */
export function frontierAt({ inputs, outputs, layers }: Graph, k: number): Set<string> {
  const before = new Set(inputs.map(({ name }) => name))
  for (const layer of layers.slice(0, k)) for (const { name } of layer.outputs) before.add(name)
  const after = new Set(outputs.map(({ name }) => name))
  for (const layer of layers.slice(k)) for (const name of layer.inputs) after.add(name)
  return new Set([...before].filter((name) => after.has(name)))
}
