/** From the times of nodes to the times of layers: shares of the profiler, scaled to the whole. */
import type { Layer } from '../../../shared/contracts/model.ts'
import { attribute } from './attribute.ts'
import type { NodeTime } from './events.ts'
import { layerInName } from './layer-names.ts'
import type { OptimisedNode } from './optimised-graph.ts'

export interface LayerTimes {
  /** One figure per layer, summing to `wholeMs`. */
  layerMs: number[]
  /** Part of the measured time whose nodes could not be placed: it is spread over the others in proportion. */
  unmappedShare: number
}

/**
 * Takes shares from the profiled times and the scale from `wholeMs`, which profiling has not slowed down.
 * @param nodes the optimised graph; empty when it is not known: then only names tell.
 */
export function layerTimes(
  layers: readonly Layer[],
  nodes: readonly OptimisedNode[],
  times: readonly NodeTime[],
  wholeMs: number,
): LayerTimes {
  const shares = attribute(layers, nodes)
  const byName = new Map(nodes.map((node, at) => [node.name, shares[at]]))
  const profiled = layers.map(() => 0)
  let unmapped = 0
  for (const { name, ms } of times) {
    const named = layerInName(name)
    const placed = byName.get(name) ?? (named === undefined ? undefined : new Map([[named, 1]]))
    if (placed === undefined) unmapped += ms
    else for (const [layer, share] of placed) profiled[layer] = (profiled[layer] ?? 0) + share * ms
  }
  const mapped = profiled.reduce((sum, ms) => sum + ms, 0)
  const unmappedShare = mapped + unmapped > 0 ? unmapped / (mapped + unmapped) : 0
  const even = wholeMs / Math.max(1, layers.length)
  const scaled = profiled.map((ms) => (mapped > 0 ? (ms / mapped) * wholeMs : even))
  return { layerMs: sumTo(wholeMs, scaled), unmappedShare }
}

/** Puts what rounding has left into the largest figure, so that the sum is right to the last bit it can be. */
function sumTo(total: number, figures: readonly number[]): number[] {
  const exact = [...figures]
  const rest = total - exact.reduce((sum, figure) => sum + figure, 0)
  const largest = exact.indexOf(Math.max(...exact))
  if (largest !== -1) exact[largest] = (exact[largest] ?? 0) + rest
  return exact
}
