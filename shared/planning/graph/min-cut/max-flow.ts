/**
 * Maximum flow in a network: a local phase first (nearby-flow.ts), and if that does not pay, Dinic's algorithm. Distances are
 * to the nearest node that can still absorb.
 */
import type { FlowNetwork } from './flow-network.ts'
import { sendNearby } from './nearby-flow.ts'

/**
 * Sends a maximum flow. No nodes and arcs may be added to the network afterwards.
 * @param enough a flow from here on need not become the maximum. @returns whether it is.
 */
export function saturate(network: FlowNetwork, enough = Infinity): boolean {
  network.link()
  // The phases of Dinic's algorithm are few if they begin with no flow.
  if (!sendNearby(network, enough)) network.unsend()
  while (network.sent < enough && measure(network)) block(network)
  return network.sent < enough
}

/**
 * Nodes that the supply left over by `saturate` reaches: the smallest source side of a minimum cut.
 * @returns per node 1 if it is there; valid until the network is used again.
 */
export function sourceSide(network: FlowNetwork): Uint8Array {
  const { nodes, reached, queue, supply, flow, from, to, firstOut, firstIn, into } = network
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

/** Distances to the nearest absorbing node. @returns whether any supply reaches one. */
function measure(network: FlowNetwork): boolean {
  const { nodes, distance, queue, demand, supply, flow, from, to, firstOut, firstIn, into } = network
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
function block(network: FlowNetwork): void {
  const { nodes, supply, distance } = network
  // Per node, how many of its arcs, out and then in, are done with.
  network.current.fill(0, 0, nodes)
  for (let node = 0; node < nodes; node += 1)
    while (supply[node]! > 0 && distance[node]! >= 0 && augment(network, node));
}

/** Sends flow along one path from the node. @returns false if there is no path left. */
function augment(network: FlowNetwork, start: number): boolean {
  const { arcs, path, distance, supply, demand, flow, from, to } = network
  let length = 0
  let node = start
  let amount = supply[start]!
  while (distance[node] !== 0 || demand[node]! <= 0) {
    const step = advance(network, node)
    if (step !== arcs) {
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
  supply[start]! -= amount
  demand[node]! -= amount
  network.sent += amount
  return true
}

/** The next step from the node along a falling distance; the number of arcs if there is none. */
function advance(network: FlowNetwork, node: number): number {
  const { arcs, distance, current, flow, from, to, firstOut, firstIn, into } = network
  const next = distance[node]! - 1
  if (next < 0) return arcs
  const begin = firstOut[node]!
  const out = firstOut[node + 1]! - begin
  let at = current[node]!
  for (; at < out; at += 1)
    if (distance[to[begin + at]!] === next) {
      current[node] = at
      return begin + at
    }
  const first = firstIn[node]!
  const all = out + firstIn[node + 1]! - first
  for (; at < all; at += 1) {
    const arc = into[first + at - out]!
    if (distance[from[arc]!] === next && flow[arc]! > 0) {
      current[node] = at
      return ~arc
    }
  }
  current[node] = at
  return arcs
}
