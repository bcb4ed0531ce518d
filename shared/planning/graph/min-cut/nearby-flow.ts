/**
 * The first, local phase of a maximum flow: the supply of one node after the other, from the last one back, is sent to what
 * is nearest. As long as that is near, it is quicker than the phases of Dinic's algorithm (max-flow.ts). All that a node
 * reaches without getting rid of its supply can absorb nothing any more, and is never entered again.
 */
import type { FlowNetwork } from './flow-network.ts'

/** Nodes reached, per node, after which sending to what is nearest has not paid. */
const NEARBY_VISITS = 16
/** Mark of nodes from which nothing can be absorbed any more. */
const DEAD = 2 ** 31 - 1

/**
 * Sends flow until it is the maximum, or at least `enough`.
 * @param network linked, without flow. @returns false if it took too many visits: the flow is not the maximum.
 */
export function sendNearby(network: FlowNetwork, enough: number): boolean {
  const { nodes, supply, queue: reached } = network
  const mark = network.distance.fill(0, 0, nodes)
  let left = NEARBY_VISITS * nodes
  for (let start = nodes - 1, round = 1; start >= 0 && network.sent < enough; round += 1) {
    if (supply[start]! <= 0 || mark[start] === DEAD) {
      start -= 1
      continue
    }
    if (left <= 0) return false
    const { end, isBroken } = sendFrom(network, start, round)
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
 * @returns how many nodes of `queue` were reached, and whether it ended because a path can be used no more.
 */
function sendFrom(network: FlowNetwork, start: number, round: number): { end: number; isBroken: boolean } {
  const { supply, demand, flow, from, to, firstOut, firstIn, into } = network
  const { queue, current: reachedBy, distance: mark } = network
  let end = 1
  queue[0] = start
  mark[start] = round
  for (let at = 0; at < end; at += 1) {
    const node = queue[at]!
    if (demand[node]! > 0) {
      const isBroken = sendTo(network, start, node)
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

/** Sends what the found path allows. @returns true if an arc of the path has no flow left, so that it is a path no more. */
function sendTo(network: FlowNetwork, start: number, end: number): boolean {
  const { supply, demand, flow, from, to, path, current: reachedBy } = network
  let amount = Math.min(supply[start]!, demand[end]!)
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
  supply[start]! -= amount
  demand[end]! -= amount
  network.sent += amount
  return isBroken
}
