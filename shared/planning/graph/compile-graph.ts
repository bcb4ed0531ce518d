/**
 * A model's layers as the graph view cuts them, made once per structure: what implies what, and what crossing costs.
 *
 * Layers that must not be separated become one group (never inside a quantisation pattern; for clean cuts nowhere
 * where ONNX Runtime would fuse). A structure says only between which layers of the canonical order a cut is good, so
 * all layers up to the next good boundary stay together: stricter than it need be for parallel branches, never laxer.
 *
 * With y[g] saying that group g runs beyond a link, y rises along the edges, and a tensor crosses when something
 * beyond needs it and its maker is not beyond. Only the last consumers count, and only a tensor with several of them
 * needs a node of its own for "something needs it".
 */
import type { Structure } from '../../contracts/model.ts'
import { withoutDetours } from './min-cut/transitive-reduction.ts'
import type { ClosureGraph } from './min-cut/closure-solver.ts'

export type GraphStructure = Pick<
  Structure,
  'model' | 'shapesKey' | 'layers' | 'boundaries' | 'inputs' | 'outputs'
>

/** Some bytes, by the group that makes them (INPUT: none) and the node that needs them (ALWAYS: at the very end). */
export interface Flows {
  maker: Int32Array
  needed: Int32Array
  bytes: Float64Array
}

export const INPUT = -1
export const ALWAYS = -1

/** Groups are numbered so that edges lead to higher numbers; nodes from `groups` on stand for "needed". */
export interface CompiledGraph extends ClosureGraph {
  groups: number
  /** Per layer. */
  groupOf: Int32Array
  flows: Flows
  /** Per node, the bytes that more cross a link when it is beyond it; those that cross in any case. */
  netBytes: Float64Array
  alwaysBytes: number
  weightBytes: Float64Array
  /** Per group, the most bytes of tensors alive while one of its layers runs, as the chain view counts them. */
  activationBytes: Float64Array
}

const compiled = new WeakMap<GraphStructure, Map<string, CompiledGraph>>()

/** @param together pairs of layers to keep together besides. */
export function compileGraph(
  structure: GraphStructure,
  cuts: 'clean' | 'any',
  together: readonly (readonly [number, number])[] = [],
): CompiledGraph {
  const kept = compiled.get(structure) ?? new Map<string, CompiledGraph>()
  compiled.set(structure, kept)
  const key = `${cuts} ${together.join(' ')}`
  const known = kept.get(key)
  if (known) return known
  const made = compile(structure, cuts, together)
  kept.set(key, made)
  return made
}

function compile(
  structure: GraphStructure,
  cuts: 'clean' | 'any',
  together: readonly (readonly [number, number])[],
): CompiledGraph {
  const { layers, boundaries } = structure
  const tensors = tensorsOf(structure)
  const pairs = [...together]
  for (const { k, allowed, clean } of boundaries)
    if (k > 0 && k < layers.length && !(allowed && (clean || cuts === 'any'))) pairs.push([k - 1, k])
  const groupOf = groupsOf(layers.length, tensors, pairs)
  const groups = layers.length === 0 ? 0 : groupOf.reduce((most, group) => Math.max(most, group), 0) + 1
  const edges = new EdgeSet(groups)
  const flows = flowsOf(tensors, groupOf, edges)
  const weightBytes = new Float64Array(groups)
  const activationBytes = new Float64Array(groups)
  for (const { index, weightBytes: bytes, outputs } of layers) {
    const group = groupOf[index]!
    weightBytes[group]! += bytes
    const alive = outputs.reduce((sum, output) => sum + output.bytes, boundaries[index]!.bytes)
    activationBytes[group] = Math.max(activationBytes[group]!, alive)
  }
  return {
    ...edges.arcs(),
    ...crossingOf(flows, edges.nodes),
    groups,
    groupOf,
    flows,
    weightBytes,
    activationBytes,
  }
}

function crossingOf({ maker, needed, bytes }: Flows, nodes: number) {
  const netBytes = new Float64Array(nodes)
  let alwaysBytes = 0
  for (let tensor = 0; tensor < bytes.length; tensor += 1) {
    if (needed[tensor] === ALWAYS) alwaysBytes += bytes[tensor]!
    else netBytes[needed[tensor]!]! += bytes[tensor]!
    if (maker[tensor] !== INPUT) netBytes[maker[tensor]!]! -= bytes[tensor]!
  }
  return { netBytes, alwaysBytes }
}

interface Tensor {
  bytes: number
  /** A layer, or INPUT. */
  maker: number
  consumers: number[]
  isOutput: boolean
}

function tensorsOf({ inputs, outputs, layers }: GraphStructure): Tensor[] {
  const isOutput = new Set(outputs.map(({ name }) => name))
  const byName = new Map<string, Tensor>()
  const add = (name: string, bytes: number, maker: number) =>
    byName.set(name, { bytes, maker, consumers: [], isOutput: isOutput.has(name) })
  for (const { name, bytes } of inputs) add(name, bytes, INPUT)
  for (const layer of layers) for (const { name, bytes } of layer.outputs) add(name, bytes, layer.index)
  for (const layer of layers)
    for (const name of new Set(layer.inputs)) byName.get(name)?.consumers.push(layer.index)
  return [...byName.values()]
}

/**
 * Group numbers, along the edges. Layers on a way from one member of a group to another belong to it too: they cannot
 * be anywhere else.
 */
function groupsOf(layers: number, tensors: readonly Tensor[], pairs: readonly (readonly [number, number])[]) {
  const arcs: [number, number][] = []
  for (const { maker, consumers } of tensors)
    if (maker !== INPUT) for (const consumer of consumers) arcs.push([maker, consumer])
  for (const [a, b] of pairs) arcs.push([a, b], [b, a])
  if (pairs.length === 0) return Int32Array.from({ length: layers }, (_, layer) => layer)
  return components(layers, arcs)
}

/** Strongly connected components in a topological order (R. Tarjan, 1972, without recursion). */
function components(nodes: number, arcs: readonly (readonly [number, number])[]): Int32Array {
  const next: number[][] = Array.from({ length: nodes }, () => [])
  for (const [from, to] of arcs) next[from]!.push(to)
  const index = new Int32Array(nodes).fill(-1)
  const low = new Int32Array(nodes)
  const component = new Int32Array(nodes).fill(-1)
  const open: number[] = []
  let counter = 0
  let count = 0
  // From the last node on: what is found first ends up last, so that numbers keep the given order where they may.
  for (let root = nodes - 1; root >= 0; root -= 1) {
    const calls: [node: number, at: number][] = index[root] === -1 ? [[root, 0]] : []
    for (let call = calls.at(-1); call !== undefined; call = calls.at(-1)) {
      const [node, at] = call
      if (at === 0) {
        index[node] = counter
        low[node] = counter
        counter += 1
        open.push(node)
      }
      const to = next[node]![at]
      if (to !== undefined) {
        call[1] += 1
        if (index[to] === -1) calls.push([to, 0])
        else if (component[to] === -1) low[node] = Math.min(low[node]!, index[to]!)
        continue
      }
      calls.pop()
      const caller = calls.at(-1)
      if (caller) low[caller[0]] = Math.min(low[caller[0]]!, low[node]!)
      if (low[node] !== index[node]) continue
      for (let member = open.pop(); member !== undefined; member = open.pop()) {
        component[member] = count
        if (member === node) break
      }
      count += 1
    }
  }
  return component.map((found) => count - 1 - found)
}

/** Implications among nodes; "needed" nodes are numbered as they come. */
class EdgeSet {
  nodes: number
  readonly #from: number[] = []
  readonly #to: number[] = []
  readonly #into: number[][]

  constructor(groups: number) {
    this.nodes = groups
    this.#into = Array.from({ length: groups }, () => [])
  }

  add(from: number, to: number): void {
    this.#from.push(from)
    this.#to.push(to)
    this.#into[to]?.push(from)
  }

  addNode(): number {
    this.nodes += 1
    return this.nodes - 1
  }

  /** Of ascending groups, whether each is reached from an earlier one and reaches a later one. */
  order(groups: readonly number[]): { first: number[]; last: number[] } {
    if (groups.length < 2) return { first: [...groups], last: [...groups] }
    const begin = groups[0]!
    const end = groups.at(-1)!
    const isReached = new Set<number>()
    const reaches = new Set<number>()
    for (const from of groups) {
      const seen = new Uint8Array(end - begin + 1)
      seen[from - begin] = 1
      for (let node = from + 1; node <= end; node += 1)
        if (this.#into[node]!.some((before) => before >= begin && seen[before - begin] === 1))
          seen[node - begin] = 1
      for (const to of groups)
        if (to > from && seen[to - begin] === 1) {
          isReached.add(to)
          reaches.add(from)
        }
    }
    return {
      first: groups.filter((group) => !isReached.has(group)),
      last: groups.filter((group) => !reaches.has(group)),
    }
  }

  arcs(): ClosureGraph {
    return withoutDetours({
      nodes: this.nodes,
      from: Int32Array.from(this.#from),
      to: Int32Array.from(this.#to),
    })
  }
}

function flowsOf(tensors: readonly Tensor[], groupOf: Int32Array, edges: EdgeSet): Flows {
  const grouped = tensors
    .map((tensor) => {
      const maker = tensor.maker === INPUT ? INPUT : groupOf[tensor.maker]!
      const all = new Set(tensor.consumers.map((consumer) => groupOf[consumer]!))
      all.delete(maker)
      return { ...tensor, maker, consumers: [...all].sort((a, b) => a - b) }
    })
    // Reachability looks back from a consumer to edges that are already there: consumers of later makers come later.
    .sort((a, b) => (a.consumers.at(-1) ?? 0) - (b.consumers.at(-1) ?? 0))
  for (const { maker, consumers } of grouped)
    if (maker !== INPUT) for (const consumer of consumers) edges.add(maker, consumer)
  return new FlowList(edges).of(grouped)
}

class FlowList {
  readonly #edges: EdgeSet
  /** "Needed" nodes by their consumers: tensors needed by the same ones share it. */
  readonly #needed = new Map<string, number>()
  readonly #maker: number[] = []
  readonly #at: number[] = []
  readonly #bytes: number[] = []

  constructor(edges: EdgeSet) {
    this.#edges = edges
  }

  of(tensors: readonly Tensor[]): Flows {
    for (const { maker, consumers, isOutput, bytes } of tensors) {
      if (!isOutput && consumers.length === 0) continue
      this.#maker.push(maker)
      this.#at.push(isOutput ? ALWAYS : this.#node(this.#edges.order(consumers).last))
      this.#bytes.push(bytes)
    }
    return {
      maker: Int32Array.from(this.#maker),
      needed: Int32Array.from(this.#at),
      bytes: Float64Array.from(this.#bytes),
    }
  }

  #node(last: readonly number[]): number {
    if (last.length === 1) return last[0]!
    const key = last.join(' ')
    const known = this.#needed.get(key)
    if (known !== undefined) return known
    const node = this.#edges.addNode()
    for (const consumer of last) this.#edges.add(consumer, node)
    this.#needed.set(key, node)
    return node
  }
}
