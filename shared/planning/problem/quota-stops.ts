/**
 * What a quota of CPU time does to one stage: it is stopped a whole number of times, each for about as long. How many times
 * depends on how much of the quota is left when it begins, so a stage that computes 0.8 quotas meets one stop or none. Pure.
 */
import type { TimeConfidence } from './problem.ts'

export interface QuotaStops {
  /** How long a stop takes, in ms before the resource's slowdown. */
  ms: number
  /** Stops that a stage is expected to meet per predicted ms. */
  perMs: number
  /** True if predicted times contain the stops that are expected; else typical requests meet none. */
  areExpected: boolean
}

/** Work beside the stage uses the quota up as well, and more often late than early. */
const FEWER = 0.2
const MORE = 0.75
/** Below so many stops a request, hardly any meets one; below so many, half of the requests surely do not. */
const RARE = 0.025
const FEW = 0.2

/**
 * ms that stops take less (below 0) or more than the predicted time of a stage says, at a bound; 0 at the median.
 * @param predictedMs of the stage, before the resource's slowdown.
 */
export function stopsMsAt(
  { ms, perMs, areExpected }: QuotaStops,
  predictedMs: number,
  confidence: TimeConfidence,
): number {
  if (confidence === 'median') return 0
  const met = predictedMs * perMs
  const expected = areExpected ? met : 0
  const isOfOne = confidence === 'lower' || confidence === 'upper'
  const isUpper = confidence === 'upper' || confidence === 'typicalUpper'
  if (met < (isOfOne ? RARE : FEW)) return isUpper ? 0 : -expected * ms
  if (!isOfOne) return ms * (isUpper ? 1 : -Math.min(1, expected))
  // Where the typical request meets none, one that is stopped is stopped once.
  const most = areExpected ? Math.ceil(met + MORE) : 1
  return ms * ((isUpper ? most : Math.max(0, Math.floor(met - FEWER))) - expected)
}

/** At least what `stopsMsAt` says at the upper bound of one request, whatever the stage: searches need one number. */
export const mostStopMs = ({ ms, areExpected }: QuotaStops): number => (areExpected ? 1 + MORE : 1) * ms
