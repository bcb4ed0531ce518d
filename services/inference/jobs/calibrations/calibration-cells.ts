/** What is seen of one codec at one boundary, sample after sample, and what it adds up to. */
import type { CalibrationCell, CodecName } from '../../../../shared/contracts/calibration.ts'
import { mean } from '../../../../shared/platform/statistics.ts'
import { pairedLossBound, shareBounds, spreadOf, upperMean, upperShare } from './bounds.ts'

/** An output reduced to what is compared. */
export interface Verdict {
  /** Index of the largest element of the first output; -1 when there is none. */
  top: number
  values: Float64Array
}

export interface Seen {
  rawBytes: number
  wireBytes: number
  /** ‖output - uncompressed output‖ / ‖uncompressed output‖. */
  relativeError: number
  agrees: boolean
  /** With labels only. */
  right?: { before: boolean; after: boolean }
}

/** How much the samples allow to be said of accuracy. */
export interface Evidence {
  madeUp: boolean
  /** The codec loses nothing: known, not observed. */
  lossless: boolean
}

/** 1 where either is not finite: nothing can be said of how far apart they are. */
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
    // Noise says nothing about what the codec does to real inputs: no bound below certainty.
    lossBound: madeUp && !lossless ? 1 : loss.bound,
    lossMedian: loss.median,
    samples,
  }
}

/** Without labels every changed answer counts as one spoilt: accuracy cannot fall by more. */
function lossOf(seen: readonly Seen[], labelled: boolean): { median: number; bound: number } {
  const samples = seen.length
  if (!labelled) {
    const changed = count(seen, (one) => !one.agrees)
    return { median: changed / samples, bound: upperShare(changed, samples) }
  }
  const spoilt = count(seen, ({ right }) => right !== undefined && right.before && !right.after)
  const mended = count(seen, ({ right }) => right !== undefined && !right.before && right.after)
  return {
    median: Math.max(0, (spoilt - mended) / samples),
    bound: pairedLossBound(spoilt, mended, samples),
  }
}

const count = (seen: readonly Seen[], holds: (one: Seen) => boolean): number => seen.filter(holds).length
