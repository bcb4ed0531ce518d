/**
 * From what a calibration observes, sample after sample, to one cell: a codec at a boundary, with confidence bounds. All
 * bounds are at 95 %.
 */
import type { CalibrationCell, CodecName } from '../../../../shared/contracts/calibration.ts'
import { mean, standardDeviation } from '../../../../shared/platform/statistics.ts'
import { studentT } from '../../../../shared/platform/student.ts'

/** The parts of an output that are compared. */
export interface Verdict {
  /** Index of the largest element of the first output; -1 if it is empty. */
  top: number
  values: Float64Array
}

/** The observation of one sample. */
export interface Seen {
  rawBytes: number
  wireBytes: number
  /** ‖output - uncompressed output‖ / ‖uncompressed output‖. */
  relativeError: number
  agrees: boolean
  /** With labels only. */
  right?: { before: boolean; after: boolean }
}

/** Limits what the samples prove about accuracy. */
export interface Evidence {
  madeUp: boolean
  /** The codec is lossless by definition. */
  lossless: boolean
}

/** ‖after − before‖ / ‖before‖; 1 if it is not finite, since the distance is then unknown. */
export function relativeError(after: Verdict, before: Verdict): number {
  let apart = 0
  let size = 0
  for (let i = 0; i < before.values.length; i += 1) {
    const reference = before.values[i] ?? 0
    apart += ((after.values[i] ?? Number.NaN) - reference) ** 2
    size += reference ** 2
  }
  if (apart === 0) return 0
  const ratio = Math.sqrt(apart) / Math.sqrt(size)
  return Number.isFinite(ratio) ? ratio : 1
}

export function cellOf(
  boundary: number,
  codec: CodecName,
  seen: readonly Seen[],
  { madeUp, lossless }: Evidence,
): CalibrationCell {
  const samples = seen.length
  const agreeing = count(seen, (one) => one.agrees)
  const errors = seen.map((one) => one.relativeError)
  const wireBytes = seen.reduce((sum, one) => sum + one.wireBytes, 0)
  const rawBytes = seen.reduce((sum, one) => sum + one.rawBytes, 0)
  const bytesRatioBounds = spreadOf(seen.map((one) => one.wireBytes / one.rawBytes))
  const labelled = seen.every((one) => one.right !== undefined)
  const right = count(seen, (one) => one.right?.after === true)
  const loss = lossless ? { median: 0, bound: 0 } : lossOf(seen, labelled)
  return {
    boundary,
    codec,
    bytesRatio: wireBytes / rawBytes,
    ...(bytesRatioBounds && { bytesRatioBounds }),
    top1Agreement: agreeing / samples,
    top1Bounds: shareBounds(agreeing, samples),
    ...(labelled && { accuracy: right / samples, accuracyBounds: shareBounds(right, samples) }),
    relativeError: mean(errors),
    relativeErrorBound: upperMean(errors),
    // Made-up samples prove nothing about real inputs: the bound stays at 1.
    lossBound: madeUp && !lossless ? 1 : loss.bound,
    lossMedian: loss.median,
    samples,
  }
}

/** Loss of accuracy. Without labels every changed answer counts as lost: accuracy cannot fall by more. */
function lossOf(seen: readonly Seen[], labelled: boolean): { median: number; bound: number } {
  const samples = seen.length
  if (!labelled) {
    const changed = count(seen, (one) => !one.agrees)
    return { median: changed / samples, bound: upperShare(changed, samples) }
  }
  const lost = count(seen, ({ right }) => right !== undefined && right.before && !right.after)
  const gained = count(seen, ({ right }) => right !== undefined && !right.before && right.after)
  return {
    median: Math.max(0, (lost - gained) / samples),
    bound: pairedLossBound(lost, gained, samples),
  }
}

const count = (seen: readonly Seen[], holds: (one: Seen) => boolean): number => seen.filter(holds).length

const ALPHA = 0.05
const Z_TWO_SIDED = 1.959964

/**
 * The exact interval of a share (Clopper and Pearson 1934): each bound is the share at which the observation, or a more
 * extreme one, has the probability `alpha` / 2.
 * @param hits number of hits among `samples`.
 */
export function shareBounds(hits: number, samples: number, alpha = ALPHA): { low: number; high: number } {
  return { low: lowerShare(hits, samples, alpha / 2), high: upperShare(hits, samples, alpha / 2) }
}

/** One-sided: the share is below it with confidence 1 - alpha. */
export function upperShare(hits: number, samples: number, alpha = ALPHA): number {
  return hits >= samples ? 1 : root((share) => atMost(hits, samples, share) - alpha)
}

/** One-sided: the share is above it with confidence 1 - alpha. */
export function lowerShare(hits: number, samples: number, alpha = ALPHA): number {
  return 1 - upperShare(samples - hits, samples, alpha)
}

/** The zero of a falling function on [0, 1]. */
function root(falling: (share: number) => number): number {
  let low = 0
  let high = 1
  for (let step = 0; step < 60; step += 1) {
    const middle = (low + high) / 2
    if (falling(middle) > 0) low = middle
    else high = middle
  }
  return high
}

/** P(X <= hits) of a binomial distribution. Terms are computed as logarithms, so that large counts do not underflow. */
function atMost(hits: number, samples: number, share: number): number {
  if (share <= 0) return 1
  if (share >= 1) return hits >= samples ? 1 : 0
  let logTerm = samples * Math.log1p(-share)
  let sum = Math.exp(logTerm)
  for (let k = 1; k <= hits; k += 1) {
    logTerm += Math.log((samples - k + 1) / k) + Math.log(share) - Math.log1p(-share)
    sum += Math.exp(logTerm)
  }
  return Math.min(1, sum)
}

/**
 * Upper bound of an accuracy loss observed on pairs: the share of lost answers minus the share of gained ones, each bound
 * with half of alpha (Bonferroni), so that both hold together with 95 %.
 * @param lost samples that are right before and wrong after.
 * @param gained samples that are wrong before and right after.
 */
export function pairedLossBound(lost: number, gained: number, samples: number): number {
  const bound = upperShare(lost, samples, ALPHA / 2) - lowerShare(gained, samples, ALPHA / 2)
  return Math.min(1, Math.max(0, bound))
}

/** One-sided bound of a mean, by Student's t; the mean itself with one value. */
export function upperMean(values: readonly number[]): number {
  if (values.length < 2) return mean(values)
  return (
    mean(values) + (studentT(values.length - 1, 1) * standardDeviation(values)) / Math.sqrt(values.length)
  )
}

/** Interval that holds one more value with 95 %; undefined with one value. */
export function spreadOf(values: readonly number[]): { low: number; high: number } | undefined {
  if (values.length < 2) return undefined
  const reach = Z_TWO_SIDED * standardDeviation(values) * Math.sqrt(1 + 1 / values.length)
  return { low: Math.max(0, mean(values) - reach), high: mean(values) + reach }
}
