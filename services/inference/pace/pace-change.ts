/** When a planner should hear of a pace again: each time plans are computed anew. Pure. */
import type { Pace, Spread } from '../../../shared/contracts/pace.ts'

/** A planner is told no more often. */
export const AT_MOST_EVERY_MS = 5000
const AT_LEAST_EVERY_MS = 30_000
/** Changes of the typical time and of a bound that matter, as fractions of the typical time. */
const MEDIAN_CHANGE = 0.02
const BOUND_CHANGE = 0.05

/** @param sinceMs time since `told` was stored. */
export function isWorthTelling(told: Pace | undefined, pace: Pace, sinceMs: number): boolean {
  if (!told) return true
  if (sinceMs < AT_MOST_EVERY_MS) return false
  if (sinceMs >= AT_LEAST_EVERY_MS) return true
  const { quota } = told
  if (quota?.quotaMs !== pace.quota?.quotaMs || quota?.periodMs !== pace.quota?.periodMs) return true
  if (Math.abs((told.quotaSeen?.share ?? 1) - (pace.quotaSeen?.share ?? 1)) > BOUND_CHANGE) return true
  if (callChanged(told, pace)) return true
  return hasChanged(told.requestMs, pace.requestMs) || hasChanged(told.cpuMs, pace.cpuMs)
}

function hasChanged(before: Spread, after: Spread): boolean {
  const moved = (bound: keyof Spread) => Math.abs(after[bound] - before[bound]) / before.median
  const bounds = ['low', 'high', 'medianLow', 'medianHigh'] as const
  return moved('median') > MEDIAN_CHANGE || bounds.some((bound) => moved(bound) > BOUND_CHANGE)
}

/** A call is charged beside the run: it matters as a part of it. */
function callChanged({ callMs: before, requestMs }: Pace, { callMs: after }: Pace): boolean {
  if (!before || !after) return before !== after
  return Math.abs(after.median - before.median) > BOUND_CHANGE * (requestMs.median + before.median)
}
