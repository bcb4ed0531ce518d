/** What a maximum flow leaves over for a node: the min-marginals of a cut (closure-solver.ts). */
import type { FlowNetwork } from './flow-network.ts'

/**
 * How much more flow could be absorbed if it were supplied at the node (`out`), or supplied if it were absorbed there (`in`),
 * up to `max`. The flow itself does not change.
 * @param network after `saturate`.
 */
export function surplusAt(network: FlowNetwork, start: number, way: 'out' | 'in', max: number): number {
  const { flow, demand, supply } = network
  const ends = way === 'out' ? demand : supply
  const sent: { end: number; steps: number[]; amount: number }[] = []
  let total = 0
  while (total < max) {
    const end = nearest(network, start, way, ends)
    if (end < 0) break
    const steps = stepsTo(network, start, way, end)
    let amount = Math.min(max - total, ends[end]!)
    for (const step of steps) if (step < 0) amount = Math.min(amount, flow[~step]!)
    send(network, steps, amount)
    ends[end]! -= amount
    sent.push({ end, steps, amount })
    total += amount
  }
  for (const { end, steps, amount } of sent) {
    send(network, steps, -amount)
    ends[end]! += amount
  }
  return total
}

/** Negative amounts undo a flow. */
function send({ flow }: FlowNetwork, steps: readonly number[], amount: number): void {
  for (const step of steps) {
    if (step < 0) flow[~step]! -= amount
    else flow[step]! += amount
  }
}

/**
 * The nearest node with supply or demand left; -1 if none. Sets `current`: the step over which each node was reached, in the
 * direction of flow; the number of arcs for a node that was not.
 */
function nearest(network: FlowNetwork, start: number, way: 'out' | 'in', ends: Float64Array): number {
  const { nodes, arcs: none, queue, flow, from, to, firstOut, firstIn, into } = network
  const reachedBy = network.current.fill(none, 0, nodes)
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
    for (let arc = firstOut[node]!; arc < firstOut[node + 1]!; arc += 1)
      if (way === 'out') reach(to[arc]!, arc)
      else if (flow[arc]! > 0) reach(to[arc]!, ~arc)
    for (let place = firstIn[node]!; place < firstIn[node + 1]!; place += 1) {
      const arc = into[place]!
      if (way === 'in') reach(from[arc]!, arc)
      else if (flow[arc]! > 0) reach(from[arc]!, ~arc)
    }
  }
  return -1
}

/** The steps of the path that `nearest` found. */
function stepsTo(
  { current, from, to }: FlowNetwork,
  start: number,
  way: 'out' | 'in',
  end: number,
): number[] {
  const steps: number[] = []
  for (let node = end; node !== start; ) {
    const step = current[node]!
    steps.push(step)
    const [tail, head] = step < 0 ? [to[~step]!, from[~step]!] : [from[step]!, to[step]!]
    node = way === 'out' ? tail : head
  }
  return steps
}
