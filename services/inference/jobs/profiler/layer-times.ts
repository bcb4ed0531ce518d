/**
 * From the times of ONNX Runtime's nodes to the times of layers: each node of the optimised graph, and its time, is
 * attributed to the layers it stands for, and the shares are scaled to the time of the whole model.
 *
 * ONNX Runtime keeps the names of the tensors that survive its optimisations, so a node covers the layers between the
 * tensors it makes and those that other nodes make:
 *
 *   layers      Conv ─t1─▶ BatchNormalization ─t2─▶ Relu ─t3─▶ …
 *   optimised   Conv ────────────────────────────────────t3─▶ …      covers all three
 *
 * The covered layers with multiply-accumulates take the node's time in proportion to them, so a fused activation costs
 * nothing and its convolution all: right at every clean cut, which never separates them. If no covered layer has any,
 * the time goes by the bytes that the layers make. Nodes that only change the layout of a tensor (Reorder, Cast,
 * Transpose) count for the layer that made it. Suffixes of names are those of ONNX Runtime 1.30 (nchwc_transformer.cc,
 * insert_cast_transformer.cc); nodes are named after their layers, `L0`, `L1`, …, by cut-model.ts.
 */
import type { Layer } from '../../../../shared/contracts/model.ts'
import type { LayerTime } from '../../../../shared/contracts/profile.ts'
import { quantile } from '../../../../shared/platform/statistics.ts'
import type { NodeTime, OptimisedNode } from './profiler-output.ts'

export interface LayerTimes {
  /** One figure per layer, summing to `wholeMs`. */
  layerMs: number[]
  /** Part of the measured time whose nodes fit no layer: it is spread over all layers in proportion. */
  unmappedShare: number
}

/** Attribution of the nodes of a profile to layers. */
export interface Placement {
  layers: number
  /** Layer index → part of the node's time; undefined for a node that fits no layer. */
  sharesOf: (node: string) => Shares | undefined
}

/** Attributes nodes to layers. @param nodes the optimised graph; if it is unknown (empty), names alone decide. */
export function placeNodes(layers: readonly Layer[], nodes: readonly OptimisedNode[]): Placement {
  const shares = attribute(layers, nodes)
  const byName = new Map(nodes.map((node, at) => [node.name, shares[at]]))
  const sharesOf = (name: string): Shares | undefined => {
    const named = layerInName(name)
    return byName.get(name) ?? (named === undefined ? undefined : new Map([[named, 1]]))
  }
  return { layers: layers.length, sharesOf }
}

/** Largest part of the time that may fit no layer: mostly changes of layout. */
const MAX_UNNAMED_SHARE = 0.03

/**
 * The executed nodes, attributed to layers by their names alone.
 * @returns undefined if too much time fits no layer: then the optimised graph is needed.
 */
export function nodesInNames(
  layers: readonly Layer[],
  times: readonly NodeTime[],
): OptimisedNode[] | undefined {
  const nodes = times.map(({ name, op }) => ({ name, op, inputs: [], outputs: [] }))
  const { unmappedShare } = layerTimes(placeNodes(layers, nodes), times, 1)
  return unmappedShare <= MAX_UNNAMED_SHARE ? nodes : undefined
}

/** Layer times with the shares of the profiled times and the scale of `wholeMs`, which profiling has not slowed down. */
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
 * The spread of each layer over the profiled runs, as factors of its time: 95 % of the runs lie between the bounds, or all
 * if they are few.
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

/** Adds the rounding error of the sum to the largest figure. */
function sumTo(total: number, figures: readonly number[]): number[] {
  const exact = [...figures]
  const rest = total - exact.reduce((sum, figure) => sum + figure, 0)
  const largest = exact.indexOf(Math.max(...exact))
  if (largest !== -1) exact[largest] = (exact[largest] ?? 0) + rest
  return exact
}

/** Layer index → part of a node's time; the parts sum to 1. */
export type Shares = ReadonlyMap<number, number>

/** The shares of each node, in the order of `nodes`; undefined for a node that fits no layer. */
export function attribute(layers: readonly Layer[], nodes: readonly OptimisedNode[]): (Shares | undefined)[] {
  const model = new Model(layers)
  const made = new Map<string, number>()
  for (const [at, node] of nodes.entries()) for (const output of node.outputs) made.set(output, at)
  const materialised = new Set(nodes.flatMap((node) => model.tensorsOf(node)))
  const claimed = new Set<number>()
  const shares: (Shares | undefined)[] = []
  for (const node of nodes) {
    const covered = model.cover(node, materialised, claimed)
    for (const layer of covered) claimed.add(layer)
    const before = node.inputs.map((input) => shares[made.get(input) ?? -1]).find(Boolean)
    shares.push(covered.size > 0 ? model.split(covered) : before)
  }
  return fromConsumers(nodes, shares)
}

/** Attributes nodes before the first layer (a Reorder of the model's input) to the layers of the node that reads them. */
function fromConsumers(
  nodes: readonly OptimisedNode[],
  shares: (Shares | undefined)[],
): (Shares | undefined)[] {
  const placed = [...shares]
  for (let at = nodes.length - 1; at >= 0; at--) {
    if (placed[at] !== undefined) continue
    const outputs = new Set(nodes[at]?.outputs)
    const user = nodes.findIndex((node, index) => index > at && node.inputs.some((name) => outputs.has(name)))
    placed[at] = placed[user]
  }
  return placed
}

class Model {
  readonly #layers: readonly Layer[]
  readonly #makers: ReadonlyMap<string, number>

  constructor(layers: readonly Layer[]) {
    this.#layers = layers
    this.#makers = new Map(layers.flatMap((layer) => layer.outputs.map(({ name }) => [name, layer.index])))
  }

  /** The model's tensors that a node makes, in any layout. */
  tensorsOf(node: OptimisedNode): string[] {
    const candidates = [...node.outputs, node.name].flatMap((name) => [name, plain(name)])
    return [...new Set(candidates)].filter((name) => this.#makers.has(name))
  }

  /** The layers that a node covers: back from the tensors it makes to those that other nodes make or cover. */
  cover(node: OptimisedNode, materialised: ReadonlySet<string>, claimed: ReadonlySet<number>): Set<number> {
    const made = this.tensorsOf(node)
    const named = layerInName(node.name)
    const ahead = made.map((tensor) => this.#makers.get(tensor))
    if (named !== undefined && named < this.#layers.length) ahead.push(named)
    const [again] = ahead
    const covered = new Set<number>()
    while (ahead.length > 0) {
      const index = ahead.pop()
      if (index === undefined || covered.has(index) || claimed.has(index)) continue
      covered.add(index)
      const inputs = (this.#layers[index]?.inputs ?? []).filter(
        (input) => !materialised.has(input) || made.includes(input),
      )
      ahead.push(...inputs.map((input) => this.#makers.get(input)))
    }
    if (covered.size > 0) return covered
    // All are covered by an earlier node: a change of layout, or one layer that became several nodes.
    return new Set(again === undefined ? [] : [again])
  }

  split(covered: ReadonlySet<number>): Shares {
    const indices = [...covered]
    const byMacs = indices.map((index) => this.#layers[index]?.macs ?? 0)
    const byBytes = indices.map((index) =>
      Math.max(1, ...(this.#layers[index]?.outputs ?? []).map((output) => output.bytes)),
    )
    const weights = byMacs.some((macs) => macs > 0) ? byMacs : byBytes
    const sum = weights.reduce((total, weight) => total + weight, 0)
    const shares = indices.map((index, at): [number, number] => [index, (weights[at] ?? 0) / sum])
    return new Map(shares.filter(([, share]) => share > 0))
  }
}

/** The name of the tensor from which ONNX Runtime has derived a name. */
function plain(name: string): string {
  return name.replace(/^Inserted(?:PrecisionFree)?Cast_/, '').replace(/_nchwc$/, '')
}

/** The layer whose name is part of a node's: `fused L12`, `L12/MatMulAddFusion`, `L12_token_3`. */
function layerInName(name: string): number | undefined {
  const [, digits] = /(?:^|[^0-9A-Za-z])L(\d+)(?![0-9A-Za-z])/.exec(name) ?? []
  return digits === undefined ? undefined : Number(digits)
}
