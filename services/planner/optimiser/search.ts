/**
 * Best-first search for the K cheapest plans, guided by the exact costs-to-go of bounds.ts.
 *
 * A node is a stage that begins somewhere, with the stages before it; its bound is the cost of the cheapest plan that
 * goes on from there, and that plan exists. So nodes leave the queue in the order of their best plans, the first K
 * complete ones are the answer, and a child whose bound is above K distinct known plans is never stored.
 * Time O(K · stages · positions · resources), memory a few K nodes; more only where plans tie exactly.
 *
 * Order: cost, then fewer stages, then earlier resources (tier by tier, by name), then earlier cuts.
 */
import { allowedHopCost, type Bounds, boundsOf, stageMayEnd } from './bounds.ts'
import type { Chain } from './chain.ts'
import { Heap } from './heap.ts'
import type { SearchSpace } from './space.ts'

export interface Candidate {
  costMs: number
  stages: { resource: number; from: number; to: number }[]
}

/** A stage that begins at `position` on `resource`; or the end of a plan, when `position` is the last. */
interface Node {
  /** Cost of the cheapest plan through here, and its number of stages. */
  boundMs: number
  stages: number
  /** Cost of all before this stage, the hop to it included. */
  costMs: number
  resource: number
  position: number
  /** Number of this stage, 0 = first. */
  stage: number
  parent: Node | undefined
}

/** Bounds are sums in another order than costs: differences of this relative size are rounding. */
export const ROUNDING = 1e-12

/** The `top` plans of least latency in the space, best first; fewer when there are fewer. */
export function searchSpace(chain: Chain, space: SearchSpace, top: number): Candidate[] {
  return bestCandidates(chain, space, boundsOf(chain, space), top)
}

/** The `top` cheapest plans of the space within its latency, best first; fewer when there are fewer. */
export function bestCandidates(chain: Chain, space: SearchSpace, bounds: Bounds, top: number): Candidate[] {
  const queue = new Heap<Node>(comesBefore)
  const known = new KnownCosts(top)
  for (const root of rootsOf(chain, space, bounds)) {
    known.add(root.boundMs, root.stages)
    queue.push(root)
  }
  const last = space.positions.length - 1
  const found: Candidate[] = []
  while (found.length < top) {
    const node = queue.pop()
    if (node === undefined || node.boundMs > space.maxLatencyMs * (1 + ROUNDING)) break
    if (node.position === last) found.push(candidateOf(node, space))
    else expand(chain, space, bounds, node, queue, known)
  }
  return found
}

function rootsOf(chain: Chain, space: SearchSpace, bounds: Bounds): Node[] {
  return space.starts.flatMap((resource) => {
    const costMs = resource === chain.source ? 0 : allowedHopCost(chain, space, chain.source, resource, 0)
    const at = bounds.at(0, resource, 0)
    const boundMs = costMs + bounds.costMs[at]!
    if (boundMs === Infinity) return []
    const stages = bounds.stages[at]!
    return [{ boundMs, stages, costMs, resource, position: 0, stage: 0, parent: undefined }]
  })
}

/** Queues every way to end the node's stage, but for those that K known plans beat. */
function expand(
  chain: Chain,
  space: SearchSpace,
  bounds: Bounds,
  node: Node,
  queue: Heap<Node>,
  known: KnownCosts,
): void {
  const { resource, stage } = node
  const { positions } = space
  const prefix = chain.resources[resource]!.prefixMs
  if (prefix === null) return
  const last = positions.length - 1
  const begin = prefix[positions[node.position]!]!
  const siblings = known.siblings()
  const reach = space.reach[resource]![node.position]!
  const lastCut = !space.countStages || stage + 1 < space.maxStages ? Math.min(reach, last - 1) : 0
  for (let position = node.position + 1; position <= lastCut; position += 1) {
    const boundary = positions[position]!
    const spent = node.costMs + (prefix[boundary]! - begin)
    if (siblings.beaten(spent, stage + 2)) break
    for (const to of space.next[resource]!) {
      const costMs = spent + allowedHopCost(chain, space, resource, to, boundary)
      const at = bounds.at(stage + 1, to, position)
      const boundMs = costMs + bounds.costMs[at]!
      const stages = stage + 1 + bounds.stages[at]!
      if (boundMs === Infinity || siblings.beaten(boundMs, stages)) continue
      siblings.add(boundMs, stages)
      queue.push({ boundMs, stages, costMs, resource: to, position, stage: stage + 1, parent: node })
    }
  }
  if (reach < last || space.mayEnd[resource] === 0 || !stageMayEnd(space, stage)) return
  const costMs = node.costMs + (prefix[chain.layers]! - begin)
  const stages = stage + 1
  if (siblings.beaten(costMs, stages)) return
  siblings.add(costMs, stages)
  queue.push({ boundMs: costMs, stages, costMs, resource: -1, position: last, stage: stages, parent: node })
}

interface Known {
  cost: number
  stages: number
}

/** Cost and stages of the best K distinct plans seen so far: what comes after all of them is not among the best K. */
class KnownCosts {
  readonly #top: number
  readonly #worstFirst = new Heap<Known>((a, b) => isWorse(a.cost, a.stages, b))

  constructor(top: number) {
    this.#top = top
  }

  add(cost: number, stages: number): void {
    if (this.#worstFirst.size >= this.#top) {
      if (!isWorse(this.#worstFirst.peek()!.cost, this.#worstFirst.peek()!.stages, { cost, stages })) return
      this.#worstFirst.pop()
    }
    this.#worstFirst.push({ cost, stages })
  }

  beaten(cost: number, stages: number): boolean {
    if (this.#worstFirst.size < this.#top) return false
    const worst = this.#worstFirst.peek()!
    return cost > worst.cost * (1 + ROUNDING) || (cost === worst.cost && stages > worst.stages)
  }

  /** For the children of one node: the best of them is the node's own plan, known already, so it is not added. */
  siblings(): { add(cost: number, stages: number): void; beaten(cost: number, stages: number): boolean } {
    let best: Known | undefined
    return {
      add: (cost, stages) => {
        if (best === undefined) best = { cost, stages }
        else if (isWorse(cost, stages, best)) this.add(cost, stages)
        else {
          this.add(best.cost, best.stages)
          best = { cost, stages }
        }
      },
      beaten: (cost, stages) => this.beaten(cost, stages),
    }
  }
}

function isWorse(cost: number, stages: number, than: Known): boolean {
  return cost > than.cost || (cost === than.cost && stages > than.stages)
}

function comesBefore(a: Node, b: Node): boolean {
  if (a.boundMs !== b.boundMs) return a.boundMs < b.boundMs
  if (a.stages !== b.stages) return a.stages < b.stages
  const pathA = pathOf(a)
  const pathB = pathOf(b)
  const common = Math.min(pathA.length, pathB.length)
  for (let index = 0; index < common; index += 1) {
    const difference = pathA[index]!.resource - pathB[index]!.resource
    if (difference !== 0) return difference < 0
  }
  // The shorter one first: only once it is as long can it be compared further.
  if (pathA.length !== pathB.length) return pathA.length < pathB.length
  for (let index = 0; index < common; index += 1) {
    const difference = pathA[index]!.position - pathB[index]!.position
    if (difference !== 0) return difference < 0
  }
  return a.resource < b.resource
}

/** The stages so far, first to last; the mark of a plan's end is not one. */
function pathOf(node: Node): Node[] {
  const path: Node[] = []
  for (let at: Node | undefined = node; at; at = at.parent) if (at.resource >= 0) path.push(at)
  return path.reverse()
}

function candidateOf(end: Node, space: SearchSpace): Candidate {
  const path = pathOf(end)
  const boundaryOf = (node: Node | undefined) => space.positions[(node ?? end).position]!
  return {
    costMs: end.costMs,
    stages: path.map((node, index) => ({
      resource: node.resource,
      from: boundaryOf(node),
      to: boundaryOf(path[index + 1]),
    })),
  }
}
