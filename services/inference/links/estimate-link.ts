/** Estimates the figures of a link, each with its 95 % half-width, from timed transfers. Pure. */
import type { Link } from '../../../shared/contracts/resource.ts'
import { median, quantile as quantileOf } from '../../../shared/platform/statistics.ts'

export interface TransferSample {
  bytes: number
  ms: number
}

export interface Estimate {
  value: number
  /** Half the width of the 95 % interval; that of a bandwidth is always smaller than its value. */
  halfWidth: number
}

/** The figures of one link, estimated from probes or from traffic. */
export interface LinkFigures {
  rttMs: Estimate
  bandwidthMbps: Estimate
  returnBandwidthMbps: Estimate
  perMessageMs: Estimate
  /** 95 % of single messages take at most so many ms more or less than all of that says. */
  jitterMs: number
}

/** Loopback without emulation reaches this; above it a measurement shows only the noise of the clock. */
const MAX_MBPS = 100_000
/** 95 % of a normal distribution lie within this many standard deviations of its mean. */
const Z_95 = 1.96
/** Smallest uncertainty of a time: the resolution of timers and the scheduling of a process. */
const CLOCK_MS = 0.05
/**
 * Factors by sample count. The range of 2 to 5 samples contains the true median in fewer than 95 % of cases (n = 3: 75 %),
 * so the interval is widened by the ratio of Student's interval of the mean to half the expected range of the samples, both
 * for a normal distribution.
 */
const SMALL_SAMPLE_FACTORS: Readonly<Record<number, number>> = { 2: 15.9, 3: 2.94, 4: 1.55, 5: 1.07 }

/** Time in ms that so many bytes take at a bandwidth in Mbit/s. */
export const transferMs = (bytes: number, mbps: number): number => (bytes * 8) / (mbps * 1000)
/** Time per byte in ms and its half-width: the reverse of `asBandwidth`. */
export function msPerByte({ value, halfWidth }: Estimate): Estimate {
  const share = Math.min(MAX_SHARE, halfWidth / value)
  return { value: transferMs(1, value), halfWidth: (transferMs(1, value) * share) / (1 - share) }
}
/** A bandwidth of which less is known counts as known this little. */
const MAX_SHARE = 0.95

const mbpsOf = (bytes: number, ms: number) => (bytes * 8) / (ms * 1000)

/**
 * The bandwidth in Mbit/s (10^6 bit/s) from the slope of time over size, so that the fixed cost of a transfer does not
 * count. The slope is the Theil–Sen estimator, the median of the slopes between all pairs of samples of different size,
 * which tolerates up to 29 % of outliers. Its interval is Sen's, from the variance of Kendall's rank statistic (Sen, JASA
 * 63, 1968). If noise hides the slope, the total time of the largest transfer gives a lower bound.
 * @param lateMs how much later than others exchanges were on this machine meanwhile: all transfers of one size may have been.
 */
export function bandwidth(samples: readonly TransferSample[], lateMs = 0): Estimate {
  const slopes = slopesOf(samples)
  const slope = median(slopes)
  if (!(slope > 0)) return lowerBound(samples)
  const { low, high } = senInterval(samples, slopes)
  const sizes = samples.map(({ bytes }) => bytes)
  const late = lateMs / (Math.max(...sizes) - Math.min(...sizes)) / slope
  return measuredBandwidth(slope, Math.max(high / slope - 1, 1 - low / slope) + late)
}

/** @param relative half-width of the time per byte: at the lower end of the bandwidth a byte takes (1 + relative) times as long. */
export function asBandwidth(msPerByte: number, relative: number): Estimate {
  const value = Math.min(MAX_MBPS, mbpsOf(1, msPerByte))
  return { value, halfWidth: value * (relative / (1 + relative)) }
}

/**
 * @param relative half-width of the time per byte. The half-width of the bandwidth reaches as far as a byte may be quicker,
 * which is further than it may be slower: of 10 ms ± 3 ms the bandwidths are 0.77 to 1.43 of that of 10 ms.
 */
export function measuredBandwidth(msPerByte: number, relative: number): Estimate {
  const value = Math.min(MAX_MBPS, mbpsOf(1, msPerByte))
  const reach = relative < 1 ? relative / (1 - relative) : MAX_SHARE
  return { value, halfWidth: value * Math.min(MAX_SHARE, reach) }
}

/**
 * The bandwidth as far as it is known from transfers of which what stopped the machines was taken off: the link went on
 * meanwhile, unless that stopped too, and stops of the other machine are still in them.
 */
export const unsure = ({ value, halfWidth }: Estimate): Estimate => ({
  value,
  halfWidth: Math.max(halfWidth, STOPPED_SHARE * value),
})
const STOPPED_SHARE = 0.75

function lowerBound(samples: readonly TransferSample[]): Estimate {
  const largest = Math.max(...samples.map((sample) => sample.bytes))
  const time = median(samples.filter((sample) => sample.bytes === largest).map((sample) => sample.ms))
  const value = time > 0 ? Math.min(MAX_MBPS, mbpsOf(largest, time)) : MAX_MBPS
  // The samples do not tell how much faster the link is.
  return { value, halfWidth: value / 2 }
}

function slopesOf(samples: readonly TransferSample[]): number[] {
  return samples
    .flatMap((a, index) =>
      samples
        .slice(index + 1)
        .flatMap((b) => (a.bytes === b.bytes ? [] : [(b.ms - a.ms) / (b.bytes - a.bytes)])),
    )
    .sort((a, b) => a - b)
}

/** @param slopes ascending, at least one. */
function senInterval(samples: readonly TransferSample[], slopes: readonly number[]) {
  const sizes = new Map<number, number>()
  for (const { bytes } of samples) sizes.set(bytes, (sizes.get(bytes) ?? 0) + 1)
  const term = (n: number) => n * (n - 1) * (2 * n + 5)
  const ties = [...sizes.values()].reduce((sum, n) => sum + term(n), 0)
  const reach = Z_95 * Math.sqrt((term(samples.length) - ties) / 18)
  const at = (rank: number) => slopes[Math.min(slopes.length - 1, Math.max(0, Math.round(rank)))] ?? 0
  return { low: at((slopes.length - reach) / 2 - 1), high: at((slopes.length + reach) / 2) }
}

/** A low quantile, because a busy machine delays requests beyond the link, and nothing makes one arrive before it can. */
const RTT_QUANTILE = 0.05
/** The shortest of a few is still late by up to this share of how much later half of them are, if each waits once or twice. */
const LATE_SHARE = 0.5

/**
 * The round trip in ms. Machines make pings later, never earlier: it is at most the shortest of them, and the value is the
 * middle of what it can be.
 * @param times durations in ms of tiny requests on a warm connection, at least one.
 */
export function roundTrip(times: readonly number[]): Estimate {
  const { value: low, reach } = quantileWithin(times, RTT_QUANTILE)
  const lateMs = reach + LATE_SHARE * (median(times) - low)
  return { value: low - lateMs / 2, halfWidth: Math.max(CLOCK_MS, lateMs / 2) }
}

/** How much later than the shortest 95 % of them were, ms: all that delays them is the machines at both ends, and the queue. */
export const latenessOf = (times: readonly number[]): number =>
  times.length === 0 ? 0 : quantileOf(times, 0.95) - Math.min(...times)

/** The estimate with a half-width that is `ms` larger: the uncertainty of a value that was subtracted from it. */
export const withDoubt = ({ value, halfWidth }: Estimate, ms: number): Estimate => ({
  value,
  halfWidth: halfWidth + ms,
})

/**
 * A time that cannot be 0, because light and processes need some: if no more is known than that it is short, the middle of
 * what it can be.
 */
export function positive({ value, halfWidth }: Estimate): Estimate {
  if (value > 0) return { value, halfWidth }
  const most = Math.max(CLOCK_MS, value + halfWidth)
  return { value: most / 2, halfWidth: most / 2 }
}

/**
 * What 95 % of single messages are off by.
 * @param beyond ms that each took more than is typical. Of a few messages the longest is not yet the longest of many.
 */
export function jitter(beyond: readonly number[]): number {
  if (beyond.length === 0) return 0
  const off = beyond.map((ms) => Math.abs(ms))
  return quantileOf(off, 0.95) * (1 + FEW_MESSAGES / beyond.length)
}
const FEW_MESSAGES = 2

/** The median. */
export function typical(times: readonly number[]): Estimate {
  const { value, reach } = quantileWithin(times, 0.5)
  return { value, halfWidth: Math.max(CLOCK_MS, reach) }
}

/** A quantile, and how far the samples leave it uncertain. */
function quantileWithin(times: readonly number[], q: number): { value: number; reach: number } {
  const sorted = [...times].sort((a, b) => a - b)
  const value = q === 0.5 ? median(sorted) : (sorted[Math.floor((sorted.length - 1) * q)] ?? 0)
  const { low, high } = quantileInterval(sorted, q)
  return { value, reach: (SMALL_SAMPLE_FACTORS[sorted.length] ?? 1) * Math.max(value - low, high - value) }
}

/** The distribution-free 95 % interval of a quantile: the ranks follow from the binomial count of samples below it. */
function quantileInterval(values: readonly number[], q: number): { low: number; high: number } {
  const sorted = [...values].sort((a, b) => a - b)
  const n = sorted.length
  const reach = Z_95 * Math.sqrt(n * q * (1 - q))
  const at = (rank: number) => sorted[Math.min(n - 1, Math.max(0, rank))] ?? 0
  return { low: at(Math.floor(n * q - reach) - 1), high: at(Math.ceil(n * q + reach)) }
}

type Figures = Pick<
  Link,
  'rttMs' | 'bandwidthMbps' | 'returnBandwidthMbps' | 'perMessageMs' | 'jitterMs' | 'uncertainty'
>

/** The figures in the form of a `Link` document. */
export function published(figures: LinkFigures): Figures {
  const { rttMs, bandwidthMbps, returnBandwidthMbps, perMessageMs, jitterMs } = figures
  const all = (part: keyof Estimate) => ({
    rttMs: rttMs[part],
    bandwidthMbps: bandwidthMbps[part],
    returnBandwidthMbps: returnBandwidthMbps[part],
    perMessageMs: perMessageMs[part],
  })
  return { ...all('value'), jitterMs, uncertainty: all('halfWidth') }
}

/** The largest relative change of a figure. The change of a time is relative to the fixed cost of a message. */
export function largestChange(before: LinkFigures, after: LinkFigures): number {
  const fixed = (figures: LinkFigures) => figures.rttMs.value + figures.perMessageMs.value
  const moved = (a: number, b: number, scale = a) => Math.abs(b - a) / Math.max(scale, 0.01)
  return Math.max(
    moved(before.rttMs.value, after.rttMs.value, fixed(before)),
    moved(fixed(before), fixed(after)),
    moved(before.bandwidthMbps.value, after.bandwidthMbps.value),
    moved(before.returnBandwidthMbps.value, after.returnBandwidthMbps.value),
  )
}
