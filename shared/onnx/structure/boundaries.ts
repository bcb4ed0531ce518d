/**
 * The boundaries between layers: the tensors that cross each, and whether it is a good place to cut. A boundary is clean
 * if no group of layers that ONNX Runtime would fuse (fusion.ts) has layers on both sides of it. Pure.
 */
import type { Boundary, Layer, Structure } from '../../contracts/model.ts'

/** Layers that ONNX Runtime runs as one operator. */
export interface FusedGroup {
  layers: readonly number[]
  /** The fused operator, for example `FusedConv`. */
  operator: string
  /** True if separating them changes results: quantised kernels. */
  quantised: boolean
}

/** ONNX Runtime's optimisations across layers. */
export interface Fusions {
  groups: readonly FusedGroup[]
  /** Half-precision tensors kept in 32 bits between layers: a cut rounds them. */
  unrounded: ReadonlySet<string>
}

export type GraphShape = Pick<Structure, 'layers' | 'inputs' | 'outputs'>

/**
 * The frontier of every boundary 0..N: tensors made before it (graph inputs included) and needed after it, in the
 * order of production. A graph output that has been made is needed after every later boundary.
 */
export function frontiers({ layers, inputs, outputs }: GraphShape): string[][] {
  const lastUse = lastUses(layers)
  for (const output of outputs) lastUse.set(output.name, layers.length)
  const result: string[][] = []
  let alive = inputs.map((input) => input.name)
  for (let k = 0; k <= layers.length; k++) {
    alive = alive.filter((name) => (lastUse.get(name) ?? -1) >= k)
    result.push([...alive])
    for (const output of layers[k]?.outputs ?? []) alive.push(output.name)
  }
  return result
}

/** The last layer that reads each tensor. */
function lastUses(layers: readonly Layer[]): Map<string, number> {
  return new Map(layers.flatMap(({ inputs, index }) => inputs.map((name) => [name, index])))
}

export function buildBoundaries(graph: GraphShape, { groups, unrounded }: Fusions): Boundary[] {
  const specs = [...graph.inputs, ...graph.layers.flatMap((layer) => layer.outputs)]
  const bytes = new Map(specs.map((spec) => [spec.name, spec.bytes]))
  const inside = insideQuantisation(graph)
  const spanning = groupAcross(groups, graph.layers.length)
  const lastUse = lastUses(graph.layers)
  return frontiers(graph).map((tensors, k) => {
    const crossing = tensors.filter((name) => (lastUse.get(name) ?? -1) >= k)
    const group = spanning[k]
    const quantised = crossing.find((name) => inside.has(name))
    const rounded = crossing.find((name) => unrounded.has(name))
    const why =
      (quantised && `"${quantised}" is inside a quantisation pattern`) ??
      (group && `ONNX Runtime runs ${label(group, graph.layers)} as one ${group.operator}`) ??
      (rounded && `ONNX Runtime keeps "${rounded}" in 32 bits, a cut rounds it to 16`)
    return {
      k,
      tensors,
      bytes: tensors.reduce((sum, name) => sum + (bytes.get(name) ?? 0), 0),
      single: tensors.length === 1,
      clean: why === undefined,
      ...(why === undefined ? {} : { why }),
      allowed: quantised === undefined && !group?.quantised,
    }
  })
}

/** The group that spans each boundary; one that forbids the cut has priority over one that only makes it slower. */
function groupAcross(groups: readonly FusedGroup[], count: number): (FusedGroup | undefined)[] {
  const across: (FusedGroup | undefined)[] = Array.from({ length: count + 1 })
  for (const group of groups) {
    const first = Math.min(...group.layers)
    const last = Math.max(...group.layers)
    for (let k = first + 1; k <= last; k++)
      if (!across[k] || (group.quantised && !across[k]?.quantised)) across[k] = group
  }
  return across
}

function label(group: FusedGroup, layers: readonly Layer[]): string {
  const named = [...group.layers].sort((a, b) => a - b).map((index) => layers[index])
  const first = `${named[0]?.op} "${named[0]?.name}"`
  const last = `${named.at(-1)?.op} "${named.at(-1)?.name}"`
  return named.length === 2 ? `${first} and ${last}` : `${first} to ${last} (${named.length} layers)`
}

/**
 * The tensors between a DequantizeLinear and a later QuantizeLinear: kernels for quantised numbers replace the nodes in
 * between, so cutting there changes results.
 */
function insideQuantisation({ layers }: GraphShape): Set<string> {
  const isQuantise = (layer: Layer) => /^(com\.microsoft::)?QuantizeLinear$/.test(layer.op)
  const isDequantise = (layer: Layer) => /^(com\.microsoft::)?DequantizeLinear$/.test(layer.op)
  const after = new Set<string>()
  for (const layer of layers) {
    if (isQuantise(layer)) continue
    if (isDequantise(layer) || layer.inputs.some((name) => after.has(name)))
      for (const output of layer.outputs) after.add(output.name)
  }
  const inside = new Set<string>()
  for (const layer of layers.toReversed()) {
    const needed = isQuantise(layer) || layer.outputs.some((output) => inside.has(output.name))
    if (isDequantise(layer) || !needed) continue
    for (const name of layer.inputs) if (after.has(name)) inside.add(name)
  }
  return inside
}
