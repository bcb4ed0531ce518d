/** From the times of nodes to the times of layers: shares of the profiler, scaled to the whole. */
import type { Layer } from '../../../shared/contracts/model.ts'
import type { LayerTime } from '../../../shared/contracts/profile.ts'
import { attribute } from './attribute.ts'
import type { NodeTime } from './events.ts'
import { layerInName } from './layer-names.ts'
import type { OptimisedNode } from './optimised-graph.ts'
import { quantile } from './statistics.ts'

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

/**
 * The spread of each layer over the profiled runs, as factors of its figure: 95 % of the runs lie between the bounds,
 * or all where they are few.
 */
export function layerSpread(
  layerMs: readonly number[],
  layers: readonly Layer[],
  nodes: readonly OptimisedNode[],
  times: readonly NodeTime[],
): LayerTime[] {
  const runs = Math.max(0, ...times.map(({ samplesMs }) => samplesMs?.length ?? 0))
  const perRun = Array.from({ length: runs }, (_, run) => {
    const inRun = times.map((time) => ({ ...time, ms: time.samplesMs?.[run] ?? time.ms }))
    return layerTimes(layers, nodes, inRun, 1).layerMs
  })
  const typical = layerTimes(layers, nodes, times, 1).layerMs
  return layerMs.map((ms, layer) => {
    const share = typical[layer] ?? 0
    const factors = share > 0 ? perRun.map((shares) => (shares[layer] ?? 0) / share) : []
    const low = Math.min(1, quantile(factors, 0.025))
    const high = Math.max(1, quantile(factors, 0.975))
    return factors.length > 0 ? { ms, lowMs: ms * low, highMs: ms * high } : { ms, lowMs: ms, highMs: ms }
  })
}

/** Puts what rounding has left into the largest figure, so that the sum is right to the last bit it can be. */
function sumTo(total: number, figures: readonly number[]): number[] {
  const exact = [...figures]
  const rest = total - exact.reduce((sum, figure) => sum + figure, 0)
  const largest = exact.indexOf(Math.max(...exact))
  if (largest !== -1) exact[largest] = (exact[largest] ?? 0) + rest
  return exact
}
