/**
 * A network of flow in flat arrays, for closure problems: source and sink are implicit (a node of negative weight supplies
 * that much flow, a node of positive weight can absorb that much), and no arc limits the flow over it. So an arc can always
 * be used forwards, and backwards as long as flow goes over it.
 *
 * One network is made per graph and used again: its arrays are allocated once. They are open to the modules that send flow
 * (max-flow.ts, nearby-flow.ts, surplus.ts), whose loops read them without calls.
 */
export class FlowNetwork {
  nodes = 0
  arcs = 0
  /** Flow from supply to demand so far. */
  sent = 0
  readonly from: Int32Array
  readonly to: Int32Array
  /** Flow over each arc. */
  readonly flow: Float64Array
  /** Per node, supply and demand that are left. */
  readonly supply: Float64Array
  readonly demand: Float64Array
  /** Arcs out of node v: `firstOut[v]..firstOut[v + 1]`. */
  readonly firstOut: Int32Array
  /** Arcs into node v: `into[firstIn[v]..firstIn[v + 1]]`. */
  readonly firstIn: Int32Array
  readonly into: Int32Array
  /** Per node, room for what a search writes: each writes over what the one before it left. */
  readonly distance: Int32Array
  readonly queue: Int32Array
  readonly current: Int32Array
  readonly reached: Uint8Array
  /** Steps of the path that is followed: arc number a forwards, ~a backwards. */
  readonly path: Int32Array
  readonly #weight: Float64Array

  /** @param nodes @param maxArcs largest sizes of a network. */
  constructor(nodes: number, maxArcs: number) {
    this.from = new Int32Array(maxArcs)
    this.to = new Int32Array(maxArcs)
    this.flow = new Float64Array(maxArcs)
    this.supply = new Float64Array(nodes)
    this.demand = new Float64Array(nodes)
    this.firstOut = new Int32Array(nodes + 1)
    this.firstIn = new Int32Array(nodes + 1)
    this.into = new Int32Array(maxArcs)
    this.distance = new Int32Array(nodes)
    this.queue = new Int32Array(nodes)
    this.current = new Int32Array(nodes)
    this.reached = new Uint8Array(nodes)
    this.path = new Int32Array(nodes + 1)
    this.#weight = new Float64Array(nodes)
  }

  /** Begins a new network. */
  clear(): void {
    this.nodes = 0
    this.arcs = 0
    this.sent = 0
  }

  /** Adds the next node. @param weight below 0: its supply; above 0: what it can absorb. */
  addNode(weight: number): void {
    const node = this.nodes
    this.#weight[node] = weight
    this.supply[node] = Math.max(0, -weight)
    this.demand[node] = Math.max(0, weight)
    this.firstOut[node] = this.arcs
    this.nodes += 1
  }

  /** Adds an arc out of the node that was added last. */
  addArc(to: number): void {
    this.from[this.arcs] = this.nodes - 1
    this.to[this.arcs] = to
    this.arcs += 1
  }

  /** Lists the arcs into each node. No nodes and arcs may be added afterwards. */
  link(): void {
    const { nodes, arcs, to, firstIn, into, current: free } = this
    this.firstOut[nodes] = arcs
    this.flow.fill(0, 0, arcs)
    firstIn.fill(0, 0, nodes + 1)
    for (let arc = 0; arc < arcs; arc += 1) firstIn[to[arc]! + 1]! += 1
    for (let node = 0; node < nodes; node += 1) {
      firstIn[node + 1]! += firstIn[node]!
      free[node] = firstIn[node]!
    }
    for (let arc = 0; arc < arcs; arc += 1) into[free[to[arc]!]!++] = arc
  }

  /** Takes all flow back. */
  unsend(): void {
    this.sent = 0
    this.flow.fill(0, 0, this.arcs)
    for (let node = 0; node < this.nodes; node += 1) {
      this.supply[node] = Math.max(0, -this.#weight[node]!)
      this.demand[node] = Math.max(0, this.#weight[node]!)
    }
  }
}
