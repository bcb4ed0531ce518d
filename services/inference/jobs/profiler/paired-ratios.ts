/** What runs that were made beside each other say: medians of ratios, and how far off those may be. Pure. */
import { median, quantile, sum } from '../../../../shared/platform/statistics.ts'
import type { MeasuredCut } from './fit-profile.ts'
import type { PairTimes } from './measure-cuts.ts'

/** Two-sided 95 % of a normal distribution. */
const Z95 = 1.96
/** Standard error of a median over that of a mean, for a normal distribution: the square root of pi / 2. */
const MEDIAN_OVER_MEAN = 1.2533
/** A ratio farther from the median than this is a run that was interrupted: it says nothing about the spread. */
const INTERRUPTED = 0.5

/**
 * The cuts on the scale of the whole model. The spread is pooled over all cuts, since each has few rounds.
 * @param wholeMs time of the whole model that the figures are to be of.
 */
export function scaleCuts(pairs: readonly PairTimes[], wholeMs: number): MeasuredCut[] {
  const both = pairs.map(({ ratios }) => ratios.map(({ prefix, suffix }) => prefix + suffix))
  const deviation = pooledDeviation(both)
  return pairs.map(({ k, ratios }) => {
    const prefixMs = wholeMs * median(ratios.map(({ prefix }) => prefix))
    const suffixMs = wholeMs * median(ratios.map(({ suffix }) => suffix))
    return { k, prefixMs, suffixMs, noise: halfWidth(deviation, ratios.length) }
  })
}

/** Median of ratios, and half the width of its 95 % interval, as a fraction of it. @param ratios at least one. */
export function medianRatio(ratios: readonly number[]): { ratio: number; error: number } {
  return { ratio: median(ratios), error: halfWidth(pooledDeviation([ratios]), ratios.length) }
}

/** Standard deviation of values around the medians of their groups, as a fraction; 0 if no group has two. */
function pooledDeviation(groups: readonly (readonly number[])[]): number {
  const distances = groups.flatMap((values) => {
    const middle = median(values)
    return values.length < 2 ? [] : values.map((value) => Math.abs(value / middle - 1))
  })
  const usual = distances.filter((distance) => distance <= INTERRUPTED)
  const freedom = usual.length - groups.filter((values) => values.length > 1).length
  if (freedom <= 0) return distances.length > 0 ? quantile(distances, 0.5) : 0
  return Math.sqrt(sum(usual.map((distance) => distance ** 2)) / freedom)
}

const halfWidth = (deviation: number, count: number): number =>
  (Z95 * MEDIAN_OVER_MEAN * deviation) / Math.sqrt(Math.max(1, count))
