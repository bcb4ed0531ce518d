/**
 * Maximum flow by Dinic's algorithm in flat arrays, for closure problems: source and sink are implicit (a node of negative
 * weight supplies that much flow, a node of positive weight can absorb that much), and no arc limits the flow over it. So
 * an arc can always be used forwards, and backwards as long as flow goes over it. Distances are to the nearest node that can
 * still absorb.
 */
/** Nodes reached, per node, after which sending to what is nearest has not paid. */
const NEARBY_VISITS = 16
/** Mark of nodes from which nothing can be absorbed any more. */
const DEAD = 2 ** 31 - 1

export class FlowNetwork {
  #nodes = 0
  #arcs = 0
  #sent = 0
  readonly #from: Int32Array
  readonly #to: Int32Array
  /** Flow over each arc. */
  readonly #flow: Float64Array
  readonly #weight: Float64Array
  readonly #supply: Float64Array
  readonly #demand: Float64Array
  /** Ends and places of the arcs, as the loops read them. */
  readonly #lists: Record<'from' | 'to' | 'firstOut' | 'firstIn' | 'into', Int32Array>
  /** Arcs out of node v: `firstOut[v]..firstOut[v + 1]`. */
  readonly #firstOut: Int32Array
  /** Arcs into node v: `into[firstIn[v]..firstIn[v + 1]]`. */
  readonly #firstIn: Int32Array
  readonly #into: Int32Array
  readonly #distance: Int32Array
  readonly #queue: Int32Array
  /** Per node, how many of its arcs, out and then in, are done with. */
  readonly #current: Int32Array
  /** Steps of the path that is followed: arc number a forwards, ~a backwards. */
  readonly #path: Int32Array
  readonly #reached: Uint8Array

  /** @param nodes @param maxArcs largest sizes of a network. */
  constructor(nodes: number, maxArcs: number) {
    this.#from = new Int32Array(maxArcs)
    this.#to = new Int32Array(maxArcs)
    this.#flow = new Float64Array(maxArcs)
    this.#weight = new Float64Array(nodes)
    this.#supply = new Float64Array(nodes)
    this.#demand = new Float64Array(nodes)
    this.#firstOut = new Int32Array(nodes + 1)
    this.#firstIn = new Int32Array(nodes + 1)
    this.#into = new Int32Array(maxArcs)
    this.#lists = {
      from: this.#from,
      to: this.#to,
      firstOut: this.#firstOut,
      firstIn: this.#firstIn,
      into: this.#into,
    }
    this.#distance = new Int32Array(nodes)
    this.#queue = new Int32Array(nodes)
    this.#current = new Int32Array(nodes)
    this.#path = new Int32Array(nodes + 1)
    this.#reached = new Uint8Array(nodes)
  }

  /** Begins a new network. */
  clear(): void {
    this.#nodes = 0
    this.#arcs = 0
    this.#sent = 0
  }

  /** Adds the next node. @param weight below 0: its supply; above 0: what it can absorb. */
  addNode(weight: number): void {
    const node = this.#nodes
    this.#weight[node] = weight
    this.#supply[node] = Math.max(0, -weight)
    this.#demand[node] = Math.max(0, weight)
    this.#firstOut[node] = this.#arcs
    this.#nodes += 1
  }

  /** Adds an arc out of the node that was added last. */
  addArc(to: number): void {
    this.#from[this.#arcs] = this.#nodes - 1
    this.#to[this.#arcs] = to
    this.#arcs += 1
  }

  /**
   * Sends a maximum flow. No nodes and arcs may be added afterwards.
   * @param enough a flow from here on need not become the maximum. @returns whether it is.
   */
  saturate(enough = Infinity): boolean {
    this.#link()
    if (!this.#sendNearby(enough)) this.#unsend()
    while (this.#sent < enough && this.#measure()) this.#block()
    return this.#sent < enough
  }

  /** Nodes that remaining supply reaches: the smallest source side of a minimum cut. Valid until `clear`. */
  sourceSide(): Uint8Array {
    const nodes = this.#nodes
    const [reached, queue, supply, flow] = [this.#reached, this.#queue, this.#supply, this.#flow]
    const { from, to, firstOut, firstIn, into } = this.#lists
    let end = 0
    for (let node = 0; node < nodes; node += 1) {
      reached[node] = supply[node]! > 0 ? 1 : 0
      if (reached[node] === 1) queue[end++] = node
    }
    for (let at = 0; at < end; at += 1) {
      const node = queue[at]!
      for (let arc = firstOut[node]!; arc < firstOut[node + 1]!; arc += 1) {
        const next = to[arc]!
        if (reached[next] === 1) continue
        reached[next] = 1
        queue[end++] = next
      }
      for (let place = firstIn[node]!; place < firstIn[node + 1]!; place += 1) {
        const next = from[into[place]!]!
        if (reached[next] === 1 || flow[into[place]!]! <= 0) continue
        reached[next] = 1
        queue[end++] = next
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
    const sent: { end: number; steps: number[]; amount: number }[] = []
    let total = 0
    while (total < max) {
      const end = this.#nearest(start, way, ends)
      if (end < 0) break
      const steps = this.#stepsTo(start, way, end)
      let amount = Math.min(max - total, ends[end]!)
      for (const step of steps) if (step < 0) amount = Math.min(amount, this.#flow[~step]!)
      this.#send(steps, amount)
      ends[end]! -= amount
      sent.push({ end, steps, amount })
      total += amount
    }
    for (const { end, steps, amount } of sent) {
      this.#send(steps, -amount)
      ends[end]! += amount
    }
    return total
  }

  /** Negative amounts undo a flow. */
  #send(steps: readonly number[], amount: number): void {
    for (const step of steps) {
      if (step < 0) this.#flow[~step]! -= amount
      else this.#flow[step]! += amount
    }
  }

  /**
   * The nearest node with supply or demand left; -1 if none. Sets `#current`: the step over which each node was reached, in
   * the direction of flow; the number of arcs for a node that was not.
   */
  #nearest(start: number, way: 'out' | 'in', ends: Float64Array): number {
    const none = this.#arcs
    const reachedBy = this.#current.fill(none, 0, this.#nodes)
    const queue = this.#queue
    let count = 1
    queue[0] = start
    const reach = (node: number, step: number) => {
      if (node === start || reachedBy[node] !== none) return
      reachedBy[node] = step
      queue[count] = node
      count += 1
    }
    for (let at = 0; at < count; at += 1) {
      const node = queue[at]!
      if (ends[node]! > 0) return node
      for (let arc = this.#firstOut[node]!; arc < this.#firstOut[node + 1]!; arc += 1)
        if (way === 'out') reach(this.#to[arc]!, arc)
        else if (this.#flow[arc]! > 0) reach(this.#to[arc]!, ~arc)
      for (let place = this.#firstIn[node]!; place < this.#firstIn[node + 1]!; place += 1) {
        const arc = this.#into[place]!
        if (way === 'in') reach(this.#from[arc]!, arc)
        else if (this.#flow[arc]! > 0) reach(this.#from[arc]!, ~arc)
      }
    }
    return -1
  }

  /** The steps of the path that `#nearest` found. */
  #stepsTo(start: number, way: 'out' | 'in', end: number): number[] {
    const steps: number[] = []
    for (let node = end; node !== start; ) {
      const step = this.#current[node]!
      steps.push(step)
      const [tail, head] =
        step < 0 ? [this.#to[~step]!, this.#from[~step]!] : [this.#from[step]!, this.#to[step]!]
      node = way === 'out' ? tail : head
    }
    return steps
  }

  /** Lists the arcs into each node. */
  #link(): void {
    const [nodes, arcs] = [this.#nodes, this.#arcs]
    const [to, firstIn, into, free] = [this.#to, this.#firstIn, this.#into, this.#current]
    this.#firstOut[nodes] = arcs
    this.#flow.fill(0, 0, arcs)
    firstIn.fill(0, 0, nodes + 1)
    for (let arc = 0; arc < arcs; arc += 1) firstIn[to[arc]! + 1]! += 1
    for (let node = 0; node < nodes; node += 1) {
      firstIn[node + 1]! += firstIn[node]!
      free[node] = firstIn[node]!
    }
    for (let arc = 0; arc < arcs; arc += 1) into[free[to[arc]!]!++] = arc
  }

  /**
   * Sends the supply of one node after the other, from the last one back, to what is nearest: quicker than the phases of
   * Dinic's algorithm as long as that is near. All that a node reaches without getting rid of its supply can absorb nothing
   * any more, and is never entered again.
   * @returns false if it took too many visits: the flow is not the maximum.
   */
  #sendNearby(enough: number): boolean {
    const supply = this.#supply
    const reached = this.#queue
    const mark = this.#distance.fill(0, 0, this.#nodes)
    let left = NEARBY_VISITS * this.#nodes
    for (let start = this.#nodes - 1, round = 1; start >= 0 && this.#sent < enough; round += 1) {
      if (supply[start]! <= 0 || mark[start] === DEAD) {
        start -= 1
        continue
      }
      if (left <= 0) return false
      const { end, isBroken } = this.#sendFrom(start, round)
      left -= end
      // A path that is none any more hides others.
      if (isBroken && supply[start]! > 0) continue
      if (supply[start]! > 0) for (let place = 0; place < end; place += 1) mark[reached[place]!] = DEAD
      start -= 1
    }
    return true
  }

  /**
   * Visits what can be reached from a node, nearest first, and leaves there what can be absorbed.
   * @returns how many nodes of `#queue` were reached, and whether it ended because a path can be used no more.
   */
  #sendFrom(start: number, round: number): { end: number; isBroken: boolean } {
    const [supply, demand, flow] = [this.#supply, this.#demand, this.#flow]
    const [queue, reachedBy, mark] = [this.#queue, this.#current, this.#distance]
    const { from, to, firstOut, firstIn, into } = this.#lists
    let end = 1
    queue[0] = start
    mark[start] = round
    for (let at = 0; at < end; at += 1) {
      const node = queue[at]!
      if (demand[node]! > 0) {
        const isBroken = this.#sendTo(start, node)
        if (isBroken || supply[start]! <= 0) return { end, isBroken }
      }
      for (let arc = firstOut[node]!; arc < firstOut[node + 1]!; arc += 1) {
        const next = to[arc]!
        if (mark[next]! >= round) continue
        mark[next] = round
        reachedBy[next] = arc
        queue[end++] = next
      }
      for (let place = firstIn[node]!; place < firstIn[node + 1]!; place += 1) {
        const arc = into[place]!
        const next = from[arc]!
        if (mark[next]! >= round || flow[arc]! <= 0) continue
        mark[next] = round
        reachedBy[next] = ~arc
        queue[end++] = next
      }
    }
    return { end, isBroken: false }
  }

  /** Takes all flow back. The phases of Dinic's algorithm are few if they begin with none. */
  #unsend(): void {
    this.#sent = 0
    this.#flow.fill(0, 0, this.#arcs)
    for (let node = 0; node < this.#nodes; node += 1) {
      this.#supply[node] = Math.max(0, -this.#weight[node]!)
      this.#demand[node] = Math.max(0, this.#weight[node]!)
    }
  }

  /** Sends what the found path allows. @returns true if an arc of the path has no flow left, so that it is a path no more. */
  #sendTo(start: number, end: number): boolean {
    const [path, flow, reachedBy, from, to] = [this.#path, this.#flow, this.#current, this.#from, this.#to]
    let amount = Math.min(this.#supply[start]!, this.#demand[end]!)
    let length = 0
    for (let node = end; node !== start; length += 1) {
      const step = reachedBy[node]!
      path[length] = step
      if (step >= 0) node = from[step]!
      else {
        node = to[~step]!
        if (flow[~step]! < amount) amount = flow[~step]!
      }
    }
    let isBroken = false
    for (let at = 0; at < length; at += 1) {
      const step = path[at]!
      if (step >= 0) flow[step]! += amount
      else {
        flow[~step]! -= amount
        if (flow[~step]! <= 0) isBroken = true
      }
    }
    this.#supply[start]! -= amount
    this.#demand[end]! -= amount
    this.#sent += amount
    return isBroken
  }

  /** Distances to the nearest absorbing node. @returns whether any supply reaches one. */
  #measure(): boolean {
    const nodes = this.#nodes
    const [distance, queue, demand, supply, flow] = [
      this.#distance,
      this.#queue,
      this.#demand,
      this.#supply,
      this.#flow,
    ]
    const { from, to, firstOut, firstIn, into } = this.#lists
    let end = 0
    for (let node = 0; node < nodes; node += 1) {
      const absorbs = demand[node]! > 0
      distance[node] = absorbs ? 0 : -1
      if (absorbs) queue[end++] = node
    }
    let reached = false
    for (let at = 0; at < end; at += 1) {
      const node = queue[at]!
      const next = distance[node]! + 1
      if (supply[node]! > 0) reached = true
      for (let place = firstIn[node]!; place < firstIn[node + 1]!; place += 1) {
        const before = from[into[place]!]!
        if (distance[before]! >= 0) continue
        distance[before] = next
        queue[end++] = before
      }
      for (let arc = firstOut[node]!; arc < firstOut[node + 1]!; arc += 1) {
        const before = to[arc]!
        if (distance[before]! >= 0 || flow[arc]! <= 0) continue
        distance[before] = next
        queue[end++] = before
      }
    }
    return reached
  }

  /** Sends a blocking flow along falling distances; each exhausted arc is skipped for good. */
  #block(): void {
    const nodes = this.#nodes
    const [supply, distance] = [this.#supply, this.#distance]
    this.#current.fill(0, 0, nodes)
    for (let node = 0; node < nodes; node += 1)
      while (supply[node]! > 0 && distance[node]! >= 0 && this.#augment(node));
  }

  /** Sends flow along one path from the node. @returns false if there is no path left. */
  #augment(start: number): boolean {
    const [path, distance, demand, flow, from, to] = [
      this.#path,
      this.#distance,
      this.#demand,
      this.#flow,
      this.#from,
      this.#to,
    ]
    let length = 0
    let node = start
    let amount = this.#supply[start]!
    while (distance[node] !== 0 || demand[node]! <= 0) {
      const step = this.#advance(node)
      if (step !== this.#arcs) {
        path[length++] = step
        node = step < 0 ? from[~step]! : to[step]!
        continue
      }
      // A dead end for the rest of this phase.
      distance[node] = -1
      if (length === 0) return false
      const back = path[--length]!
      node = back < 0 ? to[~back]! : from[back]!
    }
    if (demand[node]! < amount) amount = demand[node]!
    for (let at = 0; at < length; at += 1) {
      const step = path[at]!
      if (step < 0 && flow[~step]! < amount) amount = flow[~step]!
    }
    for (let at = 0; at < length; at += 1) {
      const step = path[at]!
      if (step < 0) flow[~step]! -= amount
      else flow[step]! += amount
    }
    this.#supply[start]! -= amount
    demand[node]! -= amount
    this.#sent += amount
    return true
  }

  /** The next step from the node along a falling distance; the number of arcs if there is none. */
  #advance(node: number): number {
    const [distance, current] = [this.#distance, this.#current]
    const next = distance[node]! - 1
    if (next < 0) return this.#arcs
    const begin = this.#firstOut[node]!
    const out = this.#firstOut[node + 1]! - begin
    let at = current[node]!
    for (; at < out; at += 1)
      if (distance[this.#to[begin + at]!] === next) {
        current[node] = at
        return begin + at
      }
    const first = this.#firstIn[node]!
    const all = out + this.#firstIn[node + 1]! - first
    for (; at < all; at += 1) {
      const arc = this.#into[first + at - out]!
      if (distance[this.#from[arc]!] === next && this.#flow[arc]! > 0) {
        current[node] = at
        return ~arc
      }
    }
    current[node] = at
    return this.#arcs
  }
}
