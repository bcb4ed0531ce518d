/**
 * Reduction of a minimum closure problem by rules on single nodes, as in open-pit mining:
 *
 * - weight ≤ 0 and implies no node: chosen. Weight ≥ 0 and implied by no node: not chosen.
 * - weight ≤ 0 and implies only one node: chosen exactly if that node is, so both become one node.
 * - weight > 0 and implied by only one node: the same.
 *
 * Chains vanish, and so do branches that only fork and join. Implications lead to higher numbers, also between merged
 * nodes, so a pass up and a pass down carry most merges all the way. A maximum flow decides the nodes that remain.
 */
import { type ClosureGraph, FREE } from './closure-graph.ts'
import { FlowNetwork } from './flow-network.ts'
import { saturate, sourceSide } from './max-flow.ts'
import { surplusAt } from './surplus.ts'

/** A double pass that settles less than this share of the nodes is the last: cutting the rest is faster. */
const MIN_SETTLED_SHARE = 0.25
const NONE = -1
const SEVERAL = -2

/**
 * Nodes whose min-marginals will be asked for: the cost of moving them into the set or out of it. Reductions that assume a
 * node is where it is best do not hold for these.
 */
export interface MarginalNodes {
  nodes: Uint8Array
  moving: 'in' | 'out'
}

export class Reduction {
  readonly #graph: ClosureGraph
  readonly #parent: Int32Array
  readonly #weight: Float64Array
  /** Linked lists of the arcs that leave each node, and that enter it. */
  readonly #out: ArcLists
  readonly #in: ArcLists
  readonly #number: Int32Array
  readonly #left: Int32Array
  readonly #seen: Int32Array
  readonly #flow: FlowNetwork
  #state: Int8Array = new Int8Array(0)
  #moved: MarginalNodes | undefined

  constructor(graph: ClosureGraph) {
    const { nodes, from, to } = graph
    this.#graph = graph
    this.#parent = new Int32Array(nodes)
    this.#weight = new Float64Array(nodes)
    this.#out = new ArcLists(nodes, from, to)
    this.#in = new ArcLists(nodes, to, from)
    this.#number = new Int32Array(nodes)
    this.#left = new Int32Array(nodes)
    this.#seen = new Int32Array(nodes)
    this.#flow = new FlowNetwork(nodes, from.length)
  }

  /**
   * Settles every node; read the result with `sideOf`.
   * @param weights whole numbers.
   * @param state per node 1, 0 or FREE; free nodes are overwritten.
   * @param options.moved nodes for `costOfMoving`.
   * @param options.enough a least weight from here on need not be found out. @defaultValue Infinity
   * @returns false if the least weight is at least `enough`, and not every node is settled.
   */
  reduce(
    weights: Float64Array,
    state: Int8Array,
    { moved, enough = Infinity }: { moved?: MarginalNodes; enough?: number } = {},
  ): boolean {
    this.#state = state
    this.#moved = moved
    this.#weight.set(weights)
    const parent = this.#parent
    for (let node = 0; node < parent.length; node += 1) parent[node] = node
    this.#out.reset()
    this.#in.reset()
    for (let left = parent.length, settled = left; settled > MIN_SETTLED_SHARE * left; left -= settled)
      settled = this.#up() + this.#down()
    return this.#cut(enough)
  }

  /** 1 if the node, or the node that it was merged into, is chosen. */
  sideOf(node: number): number {
    return this.#state[this.#find(node)]!
  }

  /** Lower bound on the cost of moving one of the nodes passed to `reduce`, up to `max`. */
  costOfMoving(node: number, way: 'in' | 'out', max: number): number {
    const root = this.#find(node)
    const at = this.#number[root]!
    // Settled before the cut: its cost is unknown.
    if (at < 0) return 0
    return surplusAt(this.#flow, at, way === 'in' ? 'out' : 'in', max)
  }

  #up(): number {
    let settled = 0
    for (let node = 0; node < this.#parent.length; node += 1) settled += this.#settle(node)
    return settled
  }

  #down(): number {
    let settled = 0
    for (let node = this.#parent.length - 1; node >= 0; node -= 1) settled += this.#settle(node)
    return settled
  }

  /** @returns 1 if the node was settled or merged. */
  #settle(node: number): 0 | 1 {
    if (this.#parent[node] !== node || this.#state[node] !== FREE) return 0
    const isSupply = this.#weight[node]! <= 0
    if (this.#moved?.nodes[node] === 1 && isSupply === (this.#moved.moving === 'out')) return 0
    const one = this.#only(isSupply ? this.#out : this.#in, node)
    if (one === SEVERAL) return 0
    if (one === NONE) {
      this.#state[node] = Number(isSupply)
      return 1
    }
    this.#parent[node] = one
    this.#weight[one]! += this.#weight[node]!
    const kept = isSupply ? this.#in : this.#out
    kept.append(one, node)
    return 1
  }

  /** The only free node at the other ends of the node's arcs, NONE or SEVERAL. Drops arcs that have become void. */
  #only(lists: ArcLists, node: number): number {
    const { next, head, far } = lists
    let one = NONE
    let before = NONE
    for (let arc = head[node]!; arc >= 0; arc = next[arc]!) {
      const other = this.#find(far[arc]!)
      if (other !== node && other !== one && this.#state[other] === FREE) {
        if (one !== NONE) return SEVERAL
        one = other
        before = arc
      } else lists.drop(node, before, arc)
    }
    return one
  }

  #find(node: number): number {
    const parent = this.#parent
    let root = node
    while (parent[root] !== root) root = parent[root]!
    for (let at = node; at !== root; ) {
      const next = parent[at]!
      parent[at] = root
      at = next
    }
    return root
  }

  /** Decides the remaining nodes by a maximum flow: the least weight is what is chosen, less the supply, plus the flow. */
  #cut(enough: number): boolean {
    const parent = this.#parent
    const nodes = this.#left
    this.#number.fill(NONE)
    let count = 0
    let least = 0
    for (let node = 0; node < parent.length; node += 1) {
      if (parent[node] !== node || this.#state[node] === 0) continue
      const weight = this.#weight[node]!
      if (this.#state[node] === 1 || weight < 0) least += weight
      if (this.#state[node] === 1) continue
      this.#number[node] = count
      nodes[count] = node
      count += 1
    }
    if (count === 0) return true
    this.#flow.clear()
    this.#seen.fill(NONE)
    for (let at = 0; at < count; at += 1) {
      this.#flow.addNode(this.#weight[nodes[at]!]!)
      this.#addArcs(nodes[at]!, at)
    }
    if (!saturate(this.#flow, enough - least)) return false
    const reached = sourceSide(this.#flow)
    for (let at = 0; at < count; at += 1) this.#state[nodes[at]!] = reached[at]!
    return true
  }

  /** One arc from the node to each other remaining node. */
  #addArcs(node: number, at: number): void {
    for (let arc = this.#out.head[node]!; arc >= 0; arc = this.#out.next[arc]!) {
      const other = this.#find(this.#graph.to[arc]!)
      if (other === node || this.#state[other] !== FREE || this.#seen[other] === at) continue
      this.#seen[other] = at
      this.#flow.addArc(this.#number[other]!)
    }
  }
}

class ArcLists {
  readonly head: Int32Array
  readonly next: Int32Array
  readonly far: Int32Array
  readonly #tail: Int32Array
  /** The lists before any merge. */
  readonly #initial: { head: Int32Array; next: Int32Array; tail: Int32Array }

  constructor(nodes: number, near: Int32Array, far: Int32Array) {
    this.far = far
    this.head = new Int32Array(nodes)
    this.next = new Int32Array(near.length)
    this.#tail = new Int32Array(nodes)
    const head = new Int32Array(nodes).fill(NONE)
    const tail = new Int32Array(nodes).fill(NONE)
    const next = new Int32Array(near.length).fill(NONE)
    near.forEach((node, arc) => {
      if (head[node] === NONE) head[node] = arc
      else next[tail[node]!] = arc
      tail[node] = arc
    })
    this.#initial = { head, next, tail }
  }

  reset(): void {
    this.head.set(this.#initial.head)
    this.next.set(this.#initial.next)
    this.#tail.set(this.#initial.tail)
  }

  /** Moves the arcs of `other` to `node`. */
  append(node: number, other: number): void {
    if (this.head[other] === NONE) return
    if (this.head[node] === NONE) this.head[node] = this.head[other]!
    else this.next[this.#tail[node]!] = this.head[other]!
    this.#tail[node] = this.#tail[other]!
  }

  /** @param before the arc before it in the node's list; -1 if it is the first. */
  drop(node: number, before: number, arc: number): void {
    if (before === NONE) this.head[node] = this.next[arc]!
    else this.next[before] = this.next[arc]!
    if (this.#tail[node] === arc) this.#tail[node] = before
  }
}
