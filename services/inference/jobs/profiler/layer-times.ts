/** From the times of nodes to the times of layers: shares of the profiler, scaled to the whole. */
import type { Layer } from '../../../../shared/contracts/model.ts'
import type { LayerTime } from '../../../../shared/contracts/profile.ts'
import { attribute, type Shares } from './attribute.ts'
import type { NodeTime } from './profiler-output.ts'
import { layerInName } from './layer-names.ts'
import type { OptimisedNode } from './optimised-graph.ts'
import { quantile } from '../../../../shared/platform/statistics.ts'

export interface LayerTimes {
  /** One figure per layer, summing to `wholeMs`. */
  layerMs: number[]
  /** Part of the measured time whose nodes could not be placed: it is spread over the others in proportion. */
  unmappedShare: number
}

/** Which layers the nodes that a profile names stand for. */
export interface Placement {
  layers: number
  /** Layer index → part of the node's time; undefined for a node that fits no layer. */
  sharesOf: (node: string) => Shares | undefined
}

/** @param nodes the optimised graph; empty when it is not known: then only names tell. */
export function placeNodes(layers: readonly Layer[], nodes: readonly OptimisedNode[]): Placement {
  const shares = attribute(layers, nodes)
  const byName = new Map(nodes.map((node, at) => [node.name, shares[at]]))
  const sharesOf = (name: string): Shares | undefined => {
    const named = layerInName(name)
    return byName.get(name) ?? (named === undefined ? undefined : new Map([[named, 1]]))
  }
  return { layers: layers.length, sharesOf }
}

/** Part of the time that may fit no layer and is spread over all: changes of layout, mostly. */
const UNNAMED = 0.03

/**
 * The executed nodes as far as their names tell which layers they stand for.
 * @returns undefined when that leaves too much out: then the optimised graph is needed.
 */
export function nodesInNames(
  layers: readonly Layer[],
  times: readonly NodeTime[],
): OptimisedNode[] | undefined {
  const nodes = times.map(({ name, op }) => ({ name, op, inputs: [], outputs: [] }))
  const { unmappedShare } = layerTimes(placeNodes(layers, nodes), times, 1)
  return unmappedShare <= UNNAMED ? nodes : undefined
}

/** Takes shares from the profiled times and the scale from `wholeMs`, which profiling has not slowed down. */
export function layerTimes(placement: Placement, times: readonly NodeTime[], wholeMs: number): LayerTimes {
  const profiled = Array.from({ length: placement.layers }, () => 0)
  let unmapped = 0
  for (const { name, ms } of times) {
    const placed = placement.sharesOf(name)
    if (placed === undefined) unmapped += ms
    else for (const [layer, share] of placed) profiled[layer] = (profiled[layer] ?? 0) + share * ms
  }
  const mapped = profiled.reduce((sum, ms) => sum + ms, 0)
  const unmappedShare = mapped + unmapped > 0 ? unmapped / (mapped + unmapped) : 0
  const even = wholeMs / Math.max(1, placement.layers)
  const scaled = profiled.map((ms) => (mapped > 0 ? (ms / mapped) * wholeMs : even))
  return { layerMs: sumTo(wholeMs, scaled), unmappedShare }
}

/**
 * The spread of each layer over the profiled runs, as factors of its figure: 95 % of the runs lie between the bounds,
 * or all where they are few.
 */
export function layerSpread(
  layerMs: readonly number[],
  placement: Placement,
  times: readonly NodeTime[],
): LayerTime[] {
  const runs = Math.max(0, ...times.map(({ samplesMs }) => samplesMs?.length ?? 0))
  const perRun = Array.from({ length: runs }, (_, run) => {
    const inRun = times.map((time) => ({ ...time, ms: time.samplesMs?.[run] ?? time.ms }))
    return layerTimes(placement, inRun, 1).layerMs
  })
  const typical = layerTimes(placement, times, 1).layerMs
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
