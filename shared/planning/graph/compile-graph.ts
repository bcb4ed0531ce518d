/**
 * A model's layers as the graph view cuts them: which layer implies which, and the bytes that cross a link.
 *
 * Layers that must not be separated become one group: inside a quantisation pattern, and for clean cuts wherever ONNX
 * Runtime would fuse. A structure only says between which neighbours of the canonical order a cut is good, so all layers up
 * to the next good boundary stay together. For parallel branches that is stricter than necessary, never laxer.
 *
 * Let y[g] say that group g runs beyond a link. Then y rises along the edges, and a tensor crosses the link if a consumer is
 * beyond and its maker is not. Only maximal consumers count, and only a tensor with several of them needs a node of its own
 * for "needed beyond".
 */
import { layerSizesOf, type GraphProblem } from '../problem/problem.ts'
import { type ClosureGraph, transitiveReduction } from './min-cut/closure-graph.ts'

type GraphStructure = GraphProblem['structure']

/** Tensors, or sums of tensors: bytes, the group that makes them, and the node that stands for their need. */
export interface Flows {
  /** Group, or INPUT. */
  maker: Int32Array
  /** Node, or ALWAYS: needed at the last stop. */
  needed: Int32Array
  bytes: Float64Array
}

export const INPUT = -1
export const ALWAYS = -1

/** Nodes 0..groups-1 are groups, numbered so that edges lead to higher numbers; each further node means "needed beyond". */
export interface CompiledGraph extends ClosureGraph {
  groups: number
  /** Per layer, its group. */
  groupOf: Int32Array
  flows: Flows
  /** Per node, the change of the bytes over a link if the node moves beyond it. */
  netBytes: Float64Array
  /** Bytes that cross every link beyond which their makers are not. */
  alwaysBytes: number
  /** Per group, the least bytes over a link if it is the first group beyond it. */
  entryBytes: Float64Array
  weightBytes: Float64Array
  /** Per group, most bytes of tensors alive while one of its layers runs. */
  activationBytes: Float64Array
}

const compiled = new WeakMap<GraphStructure, Map<boolean, CompiledGraph>>()

/** Kept as long as the structure object lives. @param clean whether only clean cuts are allowed. */
export function compileGraph(structure: GraphStructure, clean: boolean): CompiledGraph {
  const byCuts = compiled.get(structure) ?? new Map<boolean, CompiledGraph>()
  compiled.set(structure, byCuts)
  const known = byCuts.get(clean)
  if (known) return known
  const made = compile(structure, clean)
  byCuts.set(clean, made)
  return made
}

function compile(structure: GraphStructure, cleanOnly: boolean): CompiledGraph {
  const { layers, boundaries } = structure
  const tensors = tensorsOf(structure)
  const pairs: [number, number][] = []
  for (const { k, allowed, clean } of boundaries)
    if (k > 0 && k < layers.length && !(allowed && (clean || !cleanOnly))) pairs.push([k - 1, k])
  const groupOf = groupsOf(layers.length, tensors, pairs)
  const groups = layers.length === 0 ? 0 : groupOf.reduce((most, group) => Math.max(most, group), 0) + 1
  const edges = new EdgeSet(groups)
  const flows = flowsOf(tensors, groupOf, edges)
  const arcs = edges.arcs()
  const weightBytes = new Float64Array(groups)
  const activationBytes = new Float64Array(groups)
  const alive = layerSizesOf(structure).alive
  for (const { index, weightBytes: bytes } of layers) {
    const group = groupOf[index]!
    weightBytes[group]! += bytes
    activationBytes[group] = Math.max(activationBytes[group]!, alive[index]!)
  }
  return {
    ...arcs,
    ...crossingOf(flows, edges.nodes),
    entryBytes: entryBytesOf(flows, groups, arcs),
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

/**
 * What is needed by a group, or by one that it leads to, and made before the group crosses with it: no group before it is
 * beyond the link. Arcs lead to higher numbers, so from the last node back.
 */
function entryBytesOf(flows: Flows, groups: number, { nodes, from, to }: ClosureGraph): Float64Array {
  const entering = Array.from({ length: nodes }, () => new Set<number>())
  flows.needed.forEach((node, flow) => {
    if (node !== ALWAYS) entering[node]!.add(flow)
  })
  const entryBytes = new Float64Array(groups)
  for (let node = nodes - 1, arc = from.length - 1; node >= 0; node -= 1) {
    const own = entering[node]!
    for (; arc >= 0 && from[arc] === node; arc -= 1)
      for (const flow of entering[to[arc]!]!) if (flows.maker[flow]! < node) own.add(flow)
    for (const flow of own) if (node < groups) entryBytes[node]! += flows.bytes[flow]!
  }
  return entryBytes
}

interface Tensor {
  bytes: number
  /** Layer, or INPUT. */
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
 * Per layer, the number of its group, in topological order. Layers on a path from one member of a group to another belong
 * to the group too, because they cannot be anywhere else.
 */
function groupsOf(layers: number, tensors: readonly Tensor[], pairs: readonly (readonly [number, number])[]) {
  const arcs: [number, number][] = []
  for (const { maker, consumers } of tensors)
    if (maker !== INPUT) for (const consumer of consumers) arcs.push([maker, consumer])
  for (const [a, b] of pairs) arcs.push([a, b], [b, a])
  if (pairs.length === 0) return Int32Array.from({ length: layers }, (_, layer) => layer)
  return components(layers, arcs)
}

/** Strongly connected components in topological order (R. Tarjan, 1972, without recursion). */
function components(nodes: number, arcs: readonly (readonly [number, number])[]): Int32Array {
  const next: number[][] = Array.from({ length: nodes }, () => [])
  for (const [from, to] of arcs) next[from]!.push(to)
  const index = new Int32Array(nodes).fill(-1)
  const low = new Int32Array(nodes)
  const component = new Int32Array(nodes).fill(-1)
  const open: number[] = []
  let counter = 0
  let count = 0
  // From the last node down: components found first get the last numbers, so numbers keep the given order if possible.
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

/** Implications among nodes; nodes for "needed beyond" are numbered as they are added. */
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

  /** The members of ascending groups that reach no later member. */
  maximal(groups: readonly number[]): number[] {
    if (groups.length < 2) return [...groups]
    const begin = groups[0]!
    const end = groups.at(-1)!
    const reaches = new Set<number>()
    for (const from of groups) {
      const seen = new Uint8Array(end - begin + 1)
      seen[from - begin] = 1
      for (let node = from + 1; node <= end; node += 1)
        if (this.#into[node]!.some((before) => before >= begin && seen[before - begin] === 1))
          seen[node - begin] = 1
      for (const to of groups) if (to > from && seen[to - begin] === 1) reaches.add(from)
    }
    return groups.filter((group) => !reaches.has(group))
  }

  arcs(): ClosureGraph {
    return transitiveReduction({
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
    // `maximal` looks back from a consumer along edges that exist already, so consumers are handled in ascending order.
    .sort((a, b) => (a.consumers.at(-1) ?? 0) - (b.consumers.at(-1) ?? 0))
  for (const { maker, consumers } of grouped)
    if (maker !== INPUT) for (const consumer of consumers) edges.add(maker, consumer)
  const flows = { maker: [] as number[], needed: [] as number[], bytes: [] as number[] }
  // Tensors with the same consumers share one node for "needed beyond".
  const nodes = new Map<string, number>()
  for (const { maker, consumers, isOutput, bytes } of grouped) {
    if (!isOutput && consumers.length === 0) continue
    flows.maker.push(maker)
    flows.needed.push(isOutput ? ALWAYS : nodeFor(edges.maximal(consumers), edges, nodes))
    flows.bytes.push(bytes)
  }
  return {
    maker: Int32Array.from(flows.maker),
    needed: Int32Array.from(flows.needed),
    bytes: Float64Array.from(flows.bytes),
  }
}

/** The node for "needed beyond" of these maximal consumers: the consumer itself if there is one only. */
function nodeFor(consumers: readonly number[], edges: EdgeSet, nodes: Map<string, number>): number {
  if (consumers.length === 1) return consumers[0]!
  const key = consumers.join(' ')
  const known = nodes.get(key)
  if (known !== undefined) return known
  const node = edges.addNode()
  for (const consumer of consumers) edges.add(consumer, node)
  nodes.set(key, node)
  return node
}
