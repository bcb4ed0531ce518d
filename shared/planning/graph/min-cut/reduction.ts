/**
 * What single nodes settle before a minimum closure is cut, as mine planning does with its blocks:
 *
 * - weight ≤ 0 and implies nothing: chosen. Weight ≥ 0 and implied by nothing: not chosen.
 * - weight ≤ 0 and implies one node only: chosen exactly when that one is, so both become one node.
 * - weight > 0 and implied by one node only: chosen exactly when that one is, likewise.
 *
 * Chains vanish, and so do branches that only fork and join. Implications always lead to higher numbers, also between
 * the merged nodes, so a pass up and a pass down carry most merges all the way.
 */
import { FlowNetwork } from './max-flow.ts'
import { type ClosureGraph, FREE } from './closure-solver.ts'

/** A pass up and down that settles less than this share of the nodes is the last: cutting the rest is quicker. */
const WORTH = 0.1
const NONE = -1
const SEVERAL = -2

/**
 * Nodes that will be asked for what it costs to move them into the set or out of it. What follows for a node from its
 * being where it is best does not hold for one that is moved.
 */
export interface Moving {
  nodes: Uint8Array
  moving: 'in' | 'out'
}

export class Reduction {
  readonly #graph: ClosureGraph
  readonly #parent: Int32Array
  readonly #weight: Float64Array
  /** Linked lists of the arcs that leave and enter each node. */
  readonly #out: ArcLists
  readonly #in: ArcLists
  readonly #number: Int32Array
  readonly #left: Int32Array
  readonly #seen: Int32Array
  readonly #flow: FlowNetwork
  #state: Int8Array = new Int8Array(0)
  #moved: Moving | undefined

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
   * Settles every node (`sideOf`).
   * @param weights whole numbers.
   * @param state nodes that are not FREE stay out of it; it is changed.
   * @param moved for `costOfMoving`.
   */
  reduce(weights: Float64Array, state: Int8Array, moved?: Moving): void {
    this.#state = state
    this.#moved = moved
    this.#weight.set(weights)
    const parent = this.#parent
    for (let node = 0; node < parent.length; node += 1) parent[node] = node
    this.#out.reset()
    this.#in.reset()
    for (let left = parent.length, settled = left; settled > WORTH * left; left -= settled)
      settled = this.#up() + this.#down()
    this.#cut()
  }

  /** 1 when the node, or the one that stands for it, is chosen. */
  sideOf(node: number): number {
    return this.#state[this.#find(node)]!
  }

  /** What it adds to move a node that `reduce` was told of; `most` at most. */
  costOfMoving(node: number, way: 'in' | 'out', most: number): number {
    const root = this.#find(node)
    const at = this.#number[root]!
    // Settled before the cut: nothing is known of what it would cost.
    if (at < 0) return 0
    return this.#flow.surplus(at, way === 'in' ? 'out' : 'in', most)
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

  /** @returns 1 when the node is settled or part of another now. */
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

  /** The one node at the other ends of the node's arcs. Arcs that say nothing any more are dropped on the way. */
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

  /** Cuts what is left. */
  #cut(): void {
    const parent = this.#parent
    const nodes = this.#left
    this.#number.fill(NONE)
    let count = 0
    for (let node = 0; node < parent.length; node += 1)
      if (parent[node] === node && this.#state[node] === FREE) {
        this.#number[node] = count
        nodes[count] = node
        count += 1
      }
    if (count === 0) return
    this.#flow.clear(count)
    this.#seen.fill(NONE)
    for (let at = 0; at < count; at += 1) {
      this.#flow.setWeight(at, this.#weight[nodes[at]!]!)
      this.#addArcs(nodes[at]!, at)
    }
    this.#flow.saturate()
    const reached = this.#flow.sourceSide()
    for (let at = 0; at < count; at += 1) this.#state[nodes[at]!] = reached[at]!
  }

  /** From the node to each other node that is left, once. */
  #addArcs(node: number, at: number): void {
    for (let arc = this.#out.head[node]!; arc >= 0; arc = this.#out.next[arc]!) {
      const other = this.#find(this.#graph.to[arc]!)
      if (other === node || this.#state[other] !== FREE || this.#seen[other] === at) continue
      this.#seen[other] = at
      this.#flow.addArc(at, this.#number[other]!, Infinity)
    }
  }
}

class ArcLists {
  readonly head: Int32Array
  readonly next: Int32Array
  readonly far: Int32Array
  readonly #tail: Int32Array
  /** The lists as they are before any merge. */
  readonly #kept: { head: Int32Array; next: Int32Array; tail: Int32Array }

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
    this.#kept = { head, next, tail }
  }

  reset(): void {
    this.head.set(this.#kept.head)
    this.next.set(this.#kept.next)
    this.#tail.set(this.#kept.tail)
  }

  /** Hands the arcs of `other` to `node`. */
  append(node: number, other: number): void {
    if (this.head[other] === NONE) return
    if (this.head[node] === NONE) this.head[node] = this.head[other]!
    else this.next[this.#tail[node]!] = this.head[other]!
    this.#tail[node] = this.#tail[other]!
  }

  /** @param before the arc before it in the node's list; -1 when it is the first. */
  drop(node: number, before: number, arc: number): void {
    if (before === NONE) this.head[node] = this.next[arc]!
    else this.next[before] = this.next[arc]!
    if (this.#tail[node] === arc) this.#tail[node] = before
  }
}
