/**
 * Plans by throughput: the slowest step (stage or hop) as short as can be, then least latency.
 *
 * The plans whose slowest step takes at most b are those of a space in which no stage and no hop takes longer than b,
 * and the latency search is exact there. So the least b is found by halving: below the middle there is either nothing,
 * or a plan whose own slowest step is the new upper end. It ends when nothing is left strictly below that.
 */
import { hopCost } from './bounds.ts'
import type { Chain } from './chain.ts'
import type { Constraint } from './constraints.ts'
import { type Candidate, searchSpace } from './search.ts'
import { spaceOf } from './space.ts'

/** Above this relative width the interval is halved; below it, what is left under the upper end is asked for. */
const WIDTH = 1e-3

/** The `top` plans of highest throughput, best first: slowest step, latency, stages, resources, cuts. */
export function bestByThroughput(chain: Chain, constraints: readonly Constraint[], top: number): Candidate[] {
  const found: Candidate[] = []
  // Every plan whose slowest step takes at most `above` is found; each round adds those with the next value.
  let above = 0
  for (let round = 0; found.length < top; round += 1) {
    const floor = round === 0 ? -1 : above
    const next = nextBottleneck(chain, constraints, floor, found.length)
    if (next === undefined) break
    // At most found.length of these are known already.
    const fresh = plansWithin(chain, constraints, next, top).filter(
      (candidate) => bottleneckOf(chain, candidate) > floor,
    )
    found.push(...fresh.slice(0, top - found.length))
    above = next
  }
  return found
}

/** ms of the plan's slowest stage or hop. */
export function bottleneckOf(chain: Chain, { stages }: Candidate): number {
  let slowest = 0
  let at = chain.source
  for (const { resource, from, to } of stages) {
    const prefix = chain.resources[resource]!.prefixMs
    if (prefix) slowest = Math.max(slowest, prefix[to]! - prefix[from]!)
    if (resource !== at) slowest = Math.max(slowest, hopCost(chain, at, resource, from))
    at = resource
  }
  return slowest
}

/**
 * The least slowest step above `above`; undefined when there is none.
 * @param known number of plans whose slowest step takes at most `above`.
 */
function nextBottleneck(
  chain: Chain,
  constraints: readonly Constraint[],
  above: number,
  known: number,
): number | undefined {
  const leastUpTo = (bottleneckMs: number): number | undefined => {
    const values = plansWithin(chain, constraints, bottleneckMs, known + 1)
      .map((candidate) => bottleneckOf(chain, candidate))
      .filter((value) => value > above)
    return values.length === 0 ? undefined : Math.min(...values)
  }
  let low = Math.max(above, 0)
  // The next value is mostly close to the last one.
  let high: number | undefined
  if (known > 0)
    for (let step = WIDTH; high === undefined && step < 1; step *= 8) high = leastUpTo(above * (1 + step))
  high ??= leastUpTo(Infinity)
  // After a plan strictly below the upper end, the interval is halved whatever its width: it never takes many steps.
  let width = WIDTH
  while (high !== undefined) {
    const middle = low + (high - low) / 2
    const below = high - high * Number.EPSILON
    const halving = high - low > width * high && middle > low && middle < below
    const asked = halving ? middle : below
    const lower = asked > low && asked < high ? leastUpTo(asked) : undefined
    if (lower === undefined && !halving) return high
    if (lower === undefined) low = asked
    else high = lower
    width = halving || lower === undefined ? WIDTH : 0
  }
  return undefined
}

function plansWithin(
  chain: Chain,
  constraints: readonly Constraint[],
  bottleneckMs: number,
  top: number,
): Candidate[] {
  return searchSpace(chain, spaceOf(chain, constraints, bottleneckMs), top)
}
