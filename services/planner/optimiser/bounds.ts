/**
 * Backward dynamic programming: for every (stage number, resource, position), the cheapest way from there to the end,
 * and how many plans there are. The costs are attained, not merely bounds, so a search guided by them never opens a
 * branch that holds no answer. O(stages · positions · resources²) time; positions × resources × stages numbers.
 *
 * best[p on r] = min over q in (p, reach[p]] of
 *                prefix[q] − prefix[p] + (q = N ? 0 : min over next r' of hop(r, r', q) + best[q on r'])
 *
 * The minimum over the window comes from a queue that drops what a nearer end beats: going backwards, that end stays
 * in the window for longer.
 */
import type { Chain } from './chain.ts'
import type { SearchSpace } from './space.ts'

export interface Bounds {
  /** ms from a stage's begin to the end of the plan, at `at(…)`; Infinity where no plan leads on. */
  costMs: Float64Array
  /** Stages of that cheapest completion, this one included; the fewest among equals. */
  stages: Uint8Array
  /** Number of completions; a float, exact while all counts stay below 2^53. */
  plans: Float64Array
  /** Index for the stage with that number (0 = first) on a resource, beginning at a position. */
  at(stage: number, resource: number, position: number): number
}

/** ms to cross from → to with the tensors of a boundary, the way back of the answer included. */
export function hopCost(chain: Chain, from: number, to: number, boundary: number): number {
  const pair = from * chain.resources.length + to
  return chain.hopMs[pair]! + chain.boundaryBytes[boundary]! * chain.hopMsPerByte[pair]!
}

/** The same, Infinity where the constraints forbid the hop. */
export function allowedHopCost(
  chain: Chain,
  space: SearchSpace,
  from: number,
  to: number,
  boundary: number,
): number {
  if (chain.boundaryBytes[boundary]! > space.maxUploadBytes[from]!) return Infinity
  const costMs = hopCost(chain, from, to, boundary)
  return costMs > space.maxHopMs ? Infinity : costMs
}

export function boundsOf(chain: Chain, space: SearchSpace): Bounds {
  const resources = chain.resources.length
  const positions = space.positions.length
  // Without stage limits all stage numbers share one table.
  const tables = space.countStages ? space.maxStages : 1
  const size = tables * resources * positions
  const bounds: Bounds = {
    costMs: new Float64Array(size).fill(Infinity),
    stages: new Uint8Array(size),
    plans: new Float64Array(size),
    at: (stage, resource, position) =>
      ((space.countStages ? stage : 0) * resources + resource) * positions + position,
  }
  const tails = newTails(positions)
  // Hops lead to higher indices only, so the last resource comes first.
  for (let stage = tables - 1; stage >= 0; stage -= 1)
    for (let resource = resources - 1; resource >= 0; resource -= 1) {
      const prefix = chain.resources[resource]!.prefixMs
      if (prefix === null) continue
      fillTails(chain, space, bounds, tails, stage, resource)
      fillStage(space, bounds, tails, prefix, stage, resource)
    }
  return bounds
}

/** The cheapest plan's cost from the input's place on; Infinity when the space holds none. */
export function bestCost(chain: Chain, space: SearchSpace, bounds: Bounds): number {
  return Math.min(
    Infinity,
    ...space.starts.map((resource) => {
      const first = resource === chain.source ? 0 : allowedHopCost(chain, space, chain.source, resource, 0)
      return first + bounds.costMs[bounds.at(0, resource, 0)]!
    }),
  )
}

/** Number of plans in the space, whatever their latency. */
export function planCount(chain: Chain, space: SearchSpace, bounds: Bounds): number {
  return space.starts.reduce((sum, resource) => {
    const first = resource === chain.source ? 0 : allowedHopCost(chain, space, chain.source, resource, 0)
    return first === Infinity ? sum : sum + bounds.plans[bounds.at(0, resource, 0)]!
  }, 0)
}

/** @param stage number of the plan's last stage, 0 = first. */
export function stageMayEnd(space: SearchSpace, stage: number): boolean {
  return !space.countStages || stage + 1 >= space.minStages
}

/** What follows a stage that ends at a position, for the resource and stage number being worked on. */
interface Tails {
  costMs: Float64Array
  stages: Uint8Array
  plans: Float64Array
  /** Room for the queue of fillStage. */
  queue: Int32Array
}

function newTails(positions: number): Tails {
  return {
    costMs: new Float64Array(positions),
    stages: new Uint8Array(positions),
    plans: new Float64Array(positions),
    queue: new Int32Array(positions),
  }
}

function fillTails(
  chain: Chain,
  space: SearchSpace,
  bounds: Bounds,
  tails: Tails,
  stage: number,
  resource: number,
): void {
  const last = space.positions.length - 1
  const ends = space.mayEnd[resource] === 1 && stageMayEnd(space, stage)
  tails.costMs.fill(Infinity)
  tails.stages.fill(0)
  tails.plans.fill(0)
  tails.costMs[last] = ends ? 0 : Infinity
  tails.plans[last] = Number(ends)
  if (space.countStages && stage + 1 >= space.maxStages) return
  for (const to of space.next[resource]!)
    for (let position = 1; position < last; position += 1) {
      const hopMs = allowedHopCost(chain, space, resource, to, space.positions[position]!)
      if (hopMs === Infinity) continue
      const at = bounds.at(stage + 1, to, position)
      const costMs = hopMs + bounds.costMs[at]!
      const stages = bounds.stages[at]!
      if (isLess(costMs, stages, tails.costMs[position]!, tails.stages[position]!)) {
        tails.costMs[position] = costMs
        tails.stages[position] = stages
      }
      tails.plans[position] = tails.plans[position]! + bounds.plans[at]!
    }
}

function fillStage(
  space: SearchSpace,
  bounds: Bounds,
  tails: Tails,
  prefix: Float64Array,
  stage: number,
  resource: number,
): void {
  const { positions } = space
  const reach = space.reach[resource]!
  const { costMs, stages, queue } = tails
  const last = positions.length - 1
  // queue[head..end) holds ends of stages, the best at head, each later one nearer and worse.
  let head = 0
  let end = 0
  let plans = 0
  let farthest = last
  const total = (q: number) => prefix[positions[q]!]! + costMs[q]!
  for (let p = last - 1; p >= 0; p -= 1) {
    const added = p + 1
    while (
      end > head &&
      !isLess(total(queue[end - 1]!), stages[queue[end - 1]!]!, total(added), stages[added]!)
    )
      end -= 1
    queue[end] = added
    end += 1
    plans += tails.plans[added]!
    for (; farthest > Math.max(p, reach[p]!); farthest -= 1) plans -= tails.plans[farthest]!
    while (head < end && queue[head]! > reach[p]!) head += 1
    const at = bounds.at(stage, resource, p)
    if (head === end) continue
    const best = queue[head]!
    bounds.costMs[at] = total(best) - prefix[positions[p]!]!
    bounds.stages[at] = stages[best]! + 1
    bounds.plans[at] = bounds.costMs[at] === Infinity ? 0 : plans
  }
}

function isLess(cost: number, stages: number, otherCost: number, otherStages: number): boolean {
  return cost < otherCost || (cost === otherCost && stages < otherStages)
}
