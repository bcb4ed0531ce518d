/**
 * Gives every node of the optimised graph, and its time, to the layers it stands for.
 *
 * ONNX Runtime keeps the names of the tensors that survive its optimisations, so a node covers the layers between the
 * tensors it makes and those that other nodes make:
 *
 *   layers      Conv ─t1─▶ BatchNormalization ─t2─▶ Relu ─t3─▶ …
 *   optimised   Conv ────────────────────────────────────t3─▶ …      covers all three
 *
 * Of the layers that a node covers, those with multiply-accumulates take its time in proportion to them, so a fused
 * activation costs nothing and its convolution all: right at every clean cut, which never separates them. Without any
 * the time goes by the bytes they make. Nodes that only change the layout of a tensor (Reorder, Cast, Transpose)
 * count for the layer that made it. The suffixes are those of ONNX Runtime 1.30 (nchwc_transformer.cc,
 * insert_cast_transformer.cc).
 */
import type { Layer } from '../../../../shared/contracts/model.ts'
import { layerInName } from './layer-names.ts'
import type { OptimisedNode } from './optimised-graph.ts'

/** Layer index → part of a node's time; the parts sum to 1. */
export type Shares = ReadonlyMap<number, number>

/** One entry per node that could be placed, in the order of `nodes`; undefined for the others. */
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

/** What stands before the first layer (a Reorder of the model's input) belongs to the node that uses it. */
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

  /** The model's tensors that a node makes, in whatever layout. */
  tensorsOf(node: OptimisedNode): string[] {
    const candidates = [...node.outputs, node.name].flatMap((name) => [name, plain(name)])
    return [...new Set(candidates)].filter((name) => this.#makers.has(name))
  }

  /** Layers that a node stands for: back from the tensors it makes to what others make or stand for. */
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
    // All claimed by a node before: a change of layout, or one layer made into several nodes.
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

/** The name of the tensor that ONNX Runtime has made a name from. */
function plain(name: string): string {
  return name.replace(/^Inserted(?:PrecisionFree)?Cast_/, '').replace(/_nchwc$/, '')
}
