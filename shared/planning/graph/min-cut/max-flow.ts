/**
 * Maximum flow by Dinic's algorithm in flat arrays. Source and sink are implicit: a node of negative weight supplies that
 * much flow, a node of positive weight can absorb that much. Distances are to the nearest node that can still absorb.
 */
export class FlowNetwork {
  #nodes = 0
  #arcs = 0
  readonly #from: Int32Array
  readonly #to: Int32Array
  readonly #capacities: Float64Array
  readonly #supply: Float64Array
  readonly #demand: Float64Array
  /** Residual arcs of node v: `first[v]..first[v + 1]`, each with its reverse. */
  readonly #first: Int32Array
  readonly #head: Int32Array
  readonly #reverse: Int32Array
  readonly #capacity: Float64Array
  readonly #distance: Int32Array
  readonly #queue: Int32Array
  readonly #current: Int32Array
  readonly #path: Int32Array
  readonly #reached: Uint8Array

  /** @param nodes @param maxArcs largest sizes of a network. */
  constructor(nodes: number, maxArcs: number) {
    this.#from = new Int32Array(maxArcs)
    this.#to = new Int32Array(maxArcs)
    this.#capacities = new Float64Array(maxArcs)
    this.#supply = new Float64Array(nodes)
    this.#demand = new Float64Array(nodes)
    this.#first = new Int32Array(nodes + 1)
    this.#head = new Int32Array(2 * maxArcs)
    this.#reverse = new Int32Array(2 * maxArcs)
    this.#capacity = new Float64Array(2 * maxArcs)
    this.#distance = new Int32Array(nodes)
    this.#queue = new Int32Array(nodes)
    this.#current = new Int32Array(nodes)
    this.#path = new Int32Array(nodes + 1)
    this.#reached = new Uint8Array(nodes)
  }

  /** Begins a new network. */
  clear(nodes: number): void {
    this.#nodes = nodes
    this.#arcs = 0
  }

  addArc(from: number, to: number, capacity: number): void {
    this.#from[this.#arcs] = from
    this.#to[this.#arcs] = to
    this.#capacities[this.#arcs] = capacity
    this.#arcs += 1
  }

  /** @param weight below 0: supply of the node; above 0: what it can absorb. */
  setWeight(node: number, weight: number): void {
    this.#supply[node] = Math.max(0, -weight)
    this.#demand[node] = Math.max(0, weight)
  }

  /** Sends a maximum flow. No arcs may be added afterwards. */
  saturate(): void {
    this.#link()
    while (this.#measure()) this.#block()
  }

  /** Nodes that remaining supply reaches: the smallest source side of a minimum cut. Valid until `clear`. */
  sourceSide(): Uint8Array {
    const reached = this.#reached.fill(0, 0, this.#nodes)
    const queue = this.#queue
    let end = 0
    for (let node = 0; node < this.#nodes; node += 1)
      if (this.#supply[node]! > 0) {
        reached[node] = 1
        queue[end] = node
        end += 1
      }
    for (let at = 0; at < end; at += 1) {
      const node = queue[at]!
      for (let arc = this.#first[node]!; arc < this.#first[node + 1]!; arc += 1) {
        const to = this.#head[arc]!
        if (reached[to] === 1 || this.#capacity[arc]! <= 0) continue
        reached[to] = 1
        queue[end] = to
        end += 1
      }
    }
    return reached
  }

  /**
   * After `saturate`: how much more flow could be absorbed if it were supplied at the node (`out`), or supplied if it were
   * absorbed there (`in`), up to `max`. The flow itself does not change.
   */
  surplus(start: number, way: 'out' | 'in', max: number): number {
    const ends = way === 'out' ? this.#demand : this.#supply
    const sent: { end: number; arcs: number[]; amount: number }[] = []
    let total = 0
    while (total < max) {
      const end = this.#nearest(start, way, ends)
      if (end < 0) break
      const arcs = this.#pathTo(start, way, end)
      let amount = Math.min(max - total, ends[end]!)
      for (const arc of arcs) amount = Math.min(amount, this.#capacity[arc]!)
      this.#send(arcs, amount)
      ends[end]! -= amount
      sent.push({ end, arcs, amount })
      total += amount
    }
    for (const { end, arcs, amount } of sent) {
      this.#send(arcs, -amount)
      ends[end]! += amount
    }
    return total
  }

  /** Negative amounts undo a flow. */
  #send(arcs: readonly number[], amount: number): void {
    for (const arc of arcs) {
      this.#capacity[arc]! -= amount
      this.#capacity[this.#reverse[arc]!]! += amount
    }
  }

  /** The nearest node with supply or demand left, over arcs with capacity; -1 if none. Sets `#current`: the arc to each node. */
  #nearest(start: number, way: 'out' | 'in', ends: Float64Array): number {
    const reachedBy = this.#current.fill(-1, 0, this.#nodes)
    const queue = this.#queue
    queue[0] = start
    let count = 1
    for (let at = 0; at < count; at += 1) {
      const node = queue[at]!
      if (ends[node]! > 0) return node
      for (let arc = this.#first[node]!; arc < this.#first[node + 1]!; arc += 1) {
        const other = this.#head[arc]!
        const used = way === 'out' ? arc : this.#reverse[arc]!
        if (other === start || reachedBy[other]! >= 0 || this.#capacity[used]! <= 0) continue
        reachedBy[other] = arc
        queue[count] = other
        count += 1
      }
    }
    return -1
  }

  /** The arcs of the path that `#nearest` found, in the direction of flow. */
  #pathTo(start: number, way: 'out' | 'in', end: number): number[] {
    const arcs: number[] = []
    for (let node = end; node !== start; ) {
      const arc = this.#current[node]!
      const back = this.#reverse[arc]!
      arcs.push(way === 'out' ? arc : back)
      node = this.#head[back]!
    }
    return arcs
  }

  /** Builds the residual graph. */
  #link(): void {
    const first = this.#first.fill(0, 0, this.#nodes + 1)
    for (let arc = 0; arc < this.#arcs; arc += 1) {
      first[this.#from[arc]! + 1]! += 1
      first[this.#to[arc]! + 1]! += 1
    }
    for (let node = 0; node < this.#nodes; node += 1) first[node + 1]! += first[node]!
    const free = this.#current
    free.set(first.subarray(0, this.#nodes))
    for (let arc = 0; arc < this.#arcs; arc += 1) {
      const forth = free[this.#from[arc]!]!
      free[this.#from[arc]!] = forth + 1
      const back = free[this.#to[arc]!]!
      free[this.#to[arc]!] = back + 1
      this.#head[forth] = this.#to[arc]!
      this.#head[back] = this.#from[arc]!
      this.#reverse[forth] = back
      this.#reverse[back] = forth
      this.#capacity[forth] = this.#capacities[arc]!
      this.#capacity[back] = 0
    }
  }

  /** Distances to the nearest absorbing node over arcs with capacity. @returns whether any supply reaches one. */
  #measure(): boolean {
    const distance = this.#distance.fill(-1, 0, this.#nodes)
    const queue = this.#queue
    let end = 0
    let reached = false
    for (let node = 0; node < this.#nodes; node += 1)
      if (this.#demand[node]! > 0) {
        distance[node] = 0
        queue[end] = node
        end += 1
      }
    for (let at = 0; at < end; at += 1) {
      const node = queue[at]!
      if (this.#supply[node]! > 0) reached = true
      for (let arc = this.#first[node]!; arc < this.#first[node + 1]!; arc += 1) {
        const before = this.#head[arc]!
        if (distance[before]! >= 0 || this.#capacity[this.#reverse[arc]!]! <= 0) continue
        distance[before] = distance[node]! + 1
        queue[end] = before
        end += 1
      }
    }
    return reached
  }

  /** Sends a blocking flow along falling distances; each exhausted arc is skipped for good. */
  #block(): void {
    this.#current.set(this.#first.subarray(0, this.#nodes))
    for (let node = 0; node < this.#nodes; node += 1)
      while (this.#supply[node]! > 0 && this.#distance[node]! >= 0 && this.#augment(node));
  }

  /** Sends flow along one path from the node. @returns false if there is no path left. */
  #augment(start: number): boolean {
    const path = this.#path
    let length = 0
    let node = start
    while (!(this.#distance[node] === 0 && this.#demand[node]! > 0)) {
      const arc = this.#advance(node)
      if (arc >= 0) {
        path[length] = arc
        length += 1
        node = this.#head[arc]!
        continue
      }
      // A dead end for the rest of this phase.
      this.#distance[node] = -1
      if (length === 0) return false
      length -= 1
      node = this.#head[this.#reverse[path[length]!]!]!
    }
    let amount = Math.min(this.#supply[start]!, this.#demand[node]!)
    for (let at = 0; at < length; at += 1) amount = Math.min(amount, this.#capacity[path[at]!]!)
    for (let at = 0; at < length; at += 1) {
      const arc = path[at]!
      this.#capacity[arc]! -= amount
      this.#capacity[this.#reverse[arc]!]! += amount
    }
    this.#supply[start]! -= amount
    this.#demand[node]! -= amount
    return true
  }

  /** The next arc from the node with capacity and falling distance; -1 if there is none. */
  #advance(node: number): number {
    const end = this.#first[node + 1]!
    const distance = this.#distance[node]! - 1
    let arc = this.#current[node]!
    if (distance < 0) return -1
    while (arc < end && !(this.#capacity[arc]! > 0 && this.#distance[this.#head[arc]!] === distance)) arc += 1
    this.#current[node] = arc
    return arc < end ? arc : -1
  }
}
