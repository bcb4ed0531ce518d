/**
 * Fits a profile to the measurements: the time of each layer, the cost of each boundary, and their uncertainty.
 *
 *   stage [i, j) = sum of layerMs[i..j) + enterMs[i] + exitMs[j]
 *
 * The whole model gives the scale and the profiler the shares. The extra cost of a split grows with the bytes that cross:
 * they are copied to fresh memory, read from a cold cache and often converted to another layout on either side. Its shape
 * comes from this machine's copies (copy-cost.ts), its size from the anchors: cuts that were run. Between the anchors,
 * layers keep the profiler's shares; at the anchors, the sums are moved towards the measurement.
 */
import type { Interval, PredictionError } from '../../../../shared/contracts/profile.ts'
import type { Structure } from '../../../../shared/contracts/model.ts'
import { type CopyCost, copyMs } from './copy-cost.ts'
import {
  mean,
  median,
  quartileDeviation,
  standardDeviation,
  sum,
} from '../../../../shared/platform/statistics.ts'

/** A cut that was run. For a fit, the times are on the scale of the whole model's figure. */
export interface MeasuredCut {
  k: number
  prefixMs: number
  suffixMs: number
  /** Half the width of the 95 % interval of their sum, as a fraction. Absent = exact. */
  noise?: number
}

export interface FitInput {
  boundaries: Structure['boundaries']
  /** The profiler's shares, scaled to sum to the whole. */
  layerMs: readonly number[]
  copies: readonly CopyCost[]
  anchors: readonly MeasuredCut[]
}

export interface Fit {
  layerMs: number[]
  enterMs: number[]
  exitMs: number[]
}

/**
 * Prior without anchors: a split costs several copies, for two changes of layout and a cold read. Rough: from a few
 * convolutional networks on one machine, with single cuts far from it.
 */
const COPIES_PER_CUT = 4
/** Cost of a second call of the runtime, with cold threads and buffers: ms. */
const CALL_MS = 0.1
/** Weight of the prior against the anchors, in ms²: an anchor with a copy of 0.3 ms has the same weight. */
const PRIOR_WEIGHT = 0.1
/** Part of the distance to the measurement by which sums at anchors are moved: neither shares nor anchors are exact. */
const ANCHOR_PULL = 0.5
const MIN_SHARE = 1e-6

export function fit(input: FitInput): Fit {
  const wholeMs = sum(input.layerMs)
  const last = input.boundaries.length - 1
  const copies = input.boundaries.map(({ bytes }) => copyMs(input.copies, bytes))
  const perCopy = fitPerCopy(input.anchors, copies, wholeMs)
  const splitMs = copies.map((copy, k) => (k === 0 || k === last ? 0 : CALL_MS + perCopy * copy))
  const exitMs = splitMs.map((ms) => ms / 2)
  const layerMs = drawToAnchors(input, exitMs)
  return { layerMs, enterMs: [...exitMs], exitMs }
}

/** Ridge regression of the extra cost at the anchors on the machine's copies; at least one copy. */
function fitPerCopy(anchors: readonly MeasuredCut[], copies: readonly number[], wholeMs: number): number {
  let xx = PRIOR_WEIGHT
  let xy = PRIOR_WEIGHT * COPIES_PER_CUT
  for (const { k, prefixMs, suffixMs } of anchors) {
    const copy = copies[k] ?? 0
    xx += copy * copy
    xy += copy * (prefixMs + suffixMs - wholeMs - CALL_MS)
  }
  return Math.max(1, xy / xx)
}

/** Scales the layers between anchors so that the sums up to an anchor come near what its first stage took. */
function drawToAnchors({ layerMs, anchors }: FitInput, exitMs: readonly number[]): number[] {
  const cumulative = accumulate(layerMs)
  const wholeMs = cumulative.at(-1) ?? 0
  const ordered = anchors.toSorted((a, b) => a.k - b.k)
  const drawn = [...layerMs]
  let from = 0
  let fromMs = 0
  const scale = (to: number, toMs: number) => {
    const before = (cumulative[to] ?? 0) - (cumulative[from] ?? 0)
    const factor = before > 0 ? (toMs - fromMs) / before : 1
    for (let layer = from; layer < to; layer++) drawn[layer] = (layerMs[layer] ?? 0) * factor
    from = to
    fromMs = toMs
  }
  for (const { k, prefixMs, suffixMs } of ordered) {
    const shareMs = cumulative[k] ?? 0
    // Each stage gives an estimate of the sum up to the boundary: the first from the front, the second from the back.
    const front = prefixMs - (exitMs[k] ?? 0)
    const back = wholeMs - (suffixMs - (exitMs[k] ?? 0))
    const target = shareMs + ANCHOR_PULL * ((front + back) / 2 - shareMs)
    // Without time on one side of the boundary there is nothing to scale.
    const least = MIN_SHARE * wholeMs
    const between = shareMs - (cumulative[from] ?? 0) > least && wholeMs - shareMs > least
    if (between && target > fromMs && target < wholeMs) scale(k, target)
  }
  scale(layerMs.length, wholeMs)
  return drawn
}

/** Predicted ms of both stages of the model split at boundary k, and of the first alone. */
export function predictSplit(
  { layerMs, enterMs, exitMs }: Fit,
  k: number,
): { bothMs: number; prefixMs: number } {
  const prefixMs = sum(layerMs.slice(0, k)) + (exitMs[k] ?? 0)
  return { bothMs: prefixMs + (enterMs[k] ?? 0) + sum(layerMs.slice(k)), prefixMs }
}

const THRESHOLDS = { median: 0.05, maximum: 0.15 }

/**
 * Compares the fit with cuts that it was not fitted to. What the runs of a cut leave open is no error of the fit: it fails
 * the check only by what is beyond.
 * @param checks at least one cut.
 */
export function predictionError(fitted: Fit, checks: readonly MeasuredCut[]): PredictionError {
  const cuts = checks.map(({ k, prefixMs, suffixMs, noise }) => {
    const predicted = predictSplit(fitted, k)
    const prefix = { predictedMs: predicted.prefixMs, measuredMs: prefixMs }
    const measured = { measuredMs: prefixMs + suffixMs, ...(noise !== undefined && { noise }) }
    return { k, predictedMs: predicted.bothMs, ...measured, prefix }
  })
  // A layer that is attributed to the wrong side shows in the stages but not in their sum.
  const errors = cuts.map(({ predictedMs, measuredMs, prefix, noise = 0 }) => {
    const both = Math.abs(predictedMs - measuredMs)
    const first = Math.abs(prefix.predictedMs - prefix.measuredMs)
    const second = Math.abs(predictedMs - measuredMs - (prefix.predictedMs - prefix.measuredMs))
    const worst = Math.max(both, first, second) / measuredMs
    return { sum: both / measuredMs, worst, beyond: (error: number) => Math.max(0, error - noise) }
  })
  const figures = {
    median: median(errors.map((error) => error.sum)),
    maximum: Math.max(...errors.map((error) => error.worst)),
  }
  const ok =
    median(errors.map(({ sum: error, beyond }) => beyond(error))) <= THRESHOLDS.median &&
    Math.max(...errors.map(({ worst, beyond }) => beyond(worst))) <= THRESHOLDS.maximum
  return { ...figures, ok, thresholds: THRESHOLDS, cuts }
}

/** Two-sided 95 % of a normal distribution. */
const Z95 = 1.96
/**
 * Drift of a machine's speed between a profile and its use, as a standard deviation of fractions, beyond what the profile
 * itself observes: chosen on 22 networks at up to 6 cuts, on a virtual machine in quiet and in noisy hours. Of 32
 * networks measured since, 93 % of the next measurements were inside the interval, 96 % of the zoo's (docs/results.md).
 * A machine with other load drifts more, also during the profile: see `wander`.
 */
const DRIFT = 0.04
/**
 * Factor of additional drift per part of the machine that other processes keep busy: they share its caches and memory, and
 * may stop or start at any time. With one core of two busy, 94 % were inside the interval; 85 % without this.
 */
const OTHERS = 1.5
/** Other processes disturb in bursts, so the runs of a profile are not independent: this part of their spread remains. */
const BURSTS = 0.5
/** Variation of a call and of cold caches: ms. */
const CALL_JITTER_MS = 0.2

/**
 * The 95 % interval of a prediction. Independent causes add as squares: the uncertainty of the scale, the error of the
 * self-check, and drift, which after the profile is at least as large as during it.
 * @param bursts runs of the whole model in ms, one group per time at which they were made
 * @param othersShare part of the machine's cores that other processes kept busy, 0 to 1
 */
export function intervalOf(
  bursts: readonly (readonly number[])[],
  error: PredictionError | undefined,
  othersShare = 0,
): Interval {
  const samplesMs = bursts.flat()
  const spread = spreadOf(samplesMs)
  const scale = Math.max(BURSTS, 1 / Math.sqrt(Math.max(1, samplesMs.length))) * spread
  const errors = (error?.cuts ?? []).map((cut) => cut.predictedMs / cut.measuredMs - 1)
  const missed = errors.length > 0 ? Math.sqrt(sum(errors.map((value) => value ** 2)) / errors.length) : 0
  const drift = DRIFT * (1 + OTHERS * othersShare)
  const relative = Z95 * Math.hypot(scale, missed, drift, wander(bursts))
  return { confidence: 0.95, relative, fixedMs: CALL_JITTER_MS }
}

/** Standard deviation of the bursts' medians, as a fraction of their mean. */
function wander(bursts: readonly (readonly number[])[]): number {
  const medians = bursts.filter((burst) => burst.length > 0).map(median)
  return medians.length < 2 ? 0 : standardDeviation(medians) / mean(medians)
}

/** Standard deviation without regard to outliers, as a fraction of the median. */
function spreadOf(values: readonly number[]): number {
  const middle = median(values)
  return middle > 0 ? quartileDeviation(values) / middle : 0
}

function accumulate(values: readonly number[]): number[] {
  const sums = [0]
  for (const value of values) sums.push((sums.at(-1) ?? 0) + value)
  return sums
}
