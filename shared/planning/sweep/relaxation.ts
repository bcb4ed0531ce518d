/**
 * Limits that depend on the conditions of a sweep. Without them the set of plans is the same everywhere, and the least
 * cost a concave function; where its best plan keeps the limits too, it is the best with them.
 */
import type { Plan } from '../../contracts/plan.ts'
import type { OptimiserQuery, Problem } from '../chain/optimise.ts'

export interface Relaxed {
  /** Without the limits that depend on the conditions. */
  query: OptimiserQuery
  /** True when there were any. */
  limited: boolean
}

/**
 * @param slowed resources whose slowdown changes; links may change anyhow.
 * @returns undefined when costs are not linear in the conditions.
 */
export function relax(
  problem: Problem,
  query: OptimiserQuery,
  slowed: readonly string[],
): Relaxed | undefined {
  const { objective, weights } = query
  if (objective === 'throughput') return undefined
  if (objective === 'weighted' && (weights?.throughput ?? 0) > 0) return undefined
  const tiers = new Set(problem.resources.filter(({ name }) => slowed.includes(name)).map(({ tier }) => tier))
  const { minThroughput, maxEnergyJ, maxPrice, maxTierMs = {}, maxTierShare, maxLatencyMs, ...rest } = query
  const onTiers = Object.entries(maxTierMs)
  const kept = {
    maxTierMs: Object.fromEntries(onTiers.filter(([tier]) => !tiers.has(tier))),
    ...(slowed.length === 0 && { maxTierShare }),
    // Under latency it only says in which cells the best plan will do (sweep-cells.ts).
    ...(objective === 'latency' && { maxLatencyMs }),
  }
  const dropped = [
    minThroughput,
    maxEnergyJ,
    maxPrice,
    onTiers.find(([tier]) => tiers.has(tier)),
    slowed.length > 0 ? maxTierShare : undefined,
    objective === 'latency' ? undefined : maxLatencyMs,
  ]
  return { query: { ...rest, ...kept }, limited: dropped.some((limit) => limit !== undefined) }
}

/** True when costs are linear in such conditions and the set of plans does not depend on them. */
export function isConcave(problem: Problem, query: OptimiserQuery, slowed: readonly string[]): boolean {
  return relax(problem, query, slowed)?.limited === false
}

/** Limits are kept with this share of them to spare; nearer, the optimiser has to say. */
const SPARE = 1 - 1e-9

/**
 * True when a plan surely keeps the query's limits on times, energy and price. Encoding and decoding count as compute
 * here, so a plan that just keeps a limit without them may be called doubtful.
 */
export function surelyKeepsLimits(plan: Plan, query: OptimiserQuery): boolean {
  const { maxTierMs = {}, maxTierShare = {}, maxLatencyMs, minThroughput, maxEnergyJ, maxPrice } = query
  const within = (value: number, limit: number | undefined) => limit === undefined || value <= limit * SPARE
  return (
    within(plan.predictedMs, maxLatencyMs) &&
    within(plan.bottleneckMs, minThroughput === undefined ? undefined : 1000 / minThroughput) &&
    within(plan.energyJ ?? 0, maxEnergyJ) &&
    within(plan.price ?? 0, maxPrice) &&
    plan.stages.every(({ tier, resource, computeMs }) => {
      const coding = plan.transfers.reduce(
        (sum, { from, to, encodeMs, decodeMs }) =>
          sum + (from === resource ? encodeMs : 0) + (to === resource ? decodeMs : 0),
        0,
      )
      const share = maxTierShare[tier]
      return (
        within(computeMs + coding, maxTierMs[tier]) &&
        within(computeMs + coding, share === undefined ? undefined : (share / 100) * plan.computeMs)
      )
    })
  )
}
