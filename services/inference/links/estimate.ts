/** From timed transfers to a round trip and a bandwidth. Pure. */
export interface TransferSample {
  bytes: number
  ms: number
}

/** Loopback without emulation reaches this; above it the clock's noise is all there is to see. */
const MAX_MBPS = 100_000

/**
 * Megabits per second (10^6 bit/s) from the slope of time over size, so that what every transfer costs, whatever its
 * size, is not counted as bandwidth. The slope is Theil–Sen's: the median of the slopes between all pairs of samples
 * of different size, which up to 29 % of wild samples do not move (Sen, JASA 63, 1968).
 * Where noise hides the slope, the largest transfer's whole time stands in: a lower bound.
 */
export function bandwidthMbps(samples: readonly TransferSample[]): number {
  const slopes = samples.flatMap((a, index) =>
    samples
      .slice(index + 1)
      .flatMap((b) => (a.bytes === b.bytes ? [] : [(b.ms - a.ms) / (b.bytes - a.bytes)])),
  )
  const slope = median(slopes)
  if (slope !== undefined && slope > 0) return Math.min(MAX_MBPS, mbps(1, slope))
  const largest = Math.max(...samples.map((sample) => sample.bytes))
  const time = median(samples.filter((sample) => sample.bytes === largest).map((sample) => sample.ms))
  return time !== undefined && time > 0 ? Math.min(MAX_MBPS, mbps(largest, time)) : MAX_MBPS
}

const mbps = (bytes: number, ms: number) => (bytes * 8) / (ms * 1000)

/** Low, because what delays a tiny request beyond the link is a busy machine; not the lowest, which may be a fluke. */
const RTT_QUANTILE = 0.1

/** @param times of tiny requests on a warm connection, at least one. */
export function roundTripMs(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) * RTT_QUANTILE)] ?? 0
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle]
  if (upper === undefined || sorted.length % 2 === 1) return upper
  return ((sorted[middle - 1] ?? upper) + upper) / 2
}
