/** From timed transfers to the figures of a link, each with its 95 % half-width. Pure. */
import { median } from '../../../shared/platform/statistics.ts'
export interface TransferSample {
  bytes: number
  ms: number
}

export interface Estimate {
  value: number
  /** Half the width of the interval that holds the true value in 95 % of cases; always below a bandwidth's value. */
  halfWidth: number
}

/** Loopback without emulation reaches this; above it the clock's noise is all there is to see. */
const MAX_MBPS = 100_000
/** Standard deviations on each side that hold 95 % of a normal distribution. */
const Z = 1.96
/** How finely a moment is known at all: the resolution of timers and the scheduling of a process. */
const CLOCK_MS = 0.05
/**
 * The range of so few samples holds their median in less than 95 % of cases (n = 3: 75 %), so it is made wider: by
 * Student's interval of their mean over half of their expected range, both of a normal distribution.
 */
const MIN_ANSWER_COUNT: Readonly<Record<number, number>> = { 2: 15.9, 3: 2.94, 4: 1.55, 5: 1.07 }

export const transferMs = (bytes: number, mbps: number): number => (bytes * 8) / (mbps * 1000)
const mbpsOf = (bytes: number, ms: number) => (bytes * 8) / (ms * 1000)

/**
 * Megabits per second (10^6 bit/s) from the slope of time over size, so that what every transfer costs, whatever its
 * size, is not counted as bandwidth. The slope is Theil–Sen's: the median of the slopes between all pairs of samples
 * of different size, which up to 29 % of wild samples do not move; its interval is Sen's, from the variance of
 * Kendall's rank statistic (Sen, JASA 63, 1968).
 * Where noise hides the slope, the largest transfer's whole time stands in: a lower bound.
 */
export function bandwidth(samples: readonly TransferSample[]): Estimate {
  const slopes = slopesOf(samples)
  const slope = median(slopes)
  if (!(slope > 0)) return lowerBound(samples)
  const { low, high } = senInterval(samples, slopes)
  return asBandwidth(slope, Math.max(high / slope - 1, 1 - low / slope))
}

/** @param rates ms per byte, each from one message. @returns undefined without any. */
export function bandwidthOfRates(rates: readonly number[]): Estimate | undefined {
  const rate = median(rates)
  if (!(rate > 0)) return undefined
  const { low, high } = quantileInterval(rates, 0.5)
  const wider = MIN_ANSWER_COUNT[rates.length] ?? 1
  return asBandwidth(rate, wider * Math.max(high / rate - 1, 1 - low / rate, RATE_FLOOR / wider))
}

/** Pieces come late or together by a part of what they take, in all messages alike: no number of messages shows it. */
const RATE_FLOOR = 0.01

/** A half-width such that a byte takes (1 + relative) as long at the lower end: time is what plans add up. */
function asBandwidth(msPerByte: number, relative: number): Estimate {
  const value = Math.min(MAX_MBPS, mbpsOf(1, msPerByte))
  return { value, halfWidth: value * (relative / (1 + relative)) }
}

function lowerBound(samples: readonly TransferSample[]): Estimate {
  const largest = Math.max(...samples.map((sample) => sample.bytes))
  const time = median(samples.filter((sample) => sample.bytes === largest).map((sample) => sample.ms))
  const value = time > 0 ? Math.min(MAX_MBPS, mbpsOf(largest, time)) : MAX_MBPS
  // Nothing says how much faster it is: twice as fast and half as fast both fit.
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
  const reach = Z * Math.sqrt((term(samples.length) - ties) / 18)
  const at = (rank: number) => slopes[Math.min(slopes.length - 1, Math.max(0, Math.round(rank)))] ?? 0
  return { low: at((slopes.length - reach) / 2 - 1), high: at((slopes.length + reach) / 2) }
}

/** Low, because what delays a tiny request beyond the link is a busy machine; not the lowest, which may be a fluke. */
const RTT_QUANTILE = 0.1

/** @param times of tiny requests on a warm connection, in ms, at least one. */
export function roundTrip(times: readonly number[]): Estimate {
  return quantile(times, RTT_QUANTILE)
}

/** The same with `ms` more on each side: what was taken off it is known no better than this. */
export const withDoubt = ({ value, halfWidth }: Estimate, ms: number): Estimate => ({
  value,
  halfWidth: halfWidth + ms,
})

/** The typical cost: half of the times are below it. */
export function typical(times: readonly number[]): Estimate {
  return quantile(times, 0.5)
}

function quantile(times: readonly number[], q: number): Estimate {
  const sorted = [...times].sort((a, b) => a - b)
  const value = q === 0.5 ? median(sorted) : (sorted[Math.floor((sorted.length - 1) * q)] ?? 0)
  const { low, high } = quantileInterval(sorted, q)
  return {
    value,
    halfWidth: Math.max(
      CLOCK_MS,
      (MIN_ANSWER_COUNT[sorted.length] ?? 1) * Math.max(value - low, high - value),
    ),
  }
}

/** Distribution-free: the ranks between which the binomial count of samples below the quantile lies in 95 %. */
function quantileInterval(values: readonly number[], q: number): { low: number; high: number } {
  const sorted = [...values].sort((a, b) => a - b)
  const n = sorted.length
  const reach = Z * Math.sqrt(n * q * (1 - q))
  const at = (rank: number) => sorted[Math.min(n - 1, Math.max(0, rank))] ?? 0
  return { low: at(Math.floor(n * q - reach) - 1), high: at(Math.ceil(n * q + reach)) }
}
