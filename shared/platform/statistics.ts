/** The statistics of the whole project: location and spread that a busy machine does not move. Pure. */

export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

/** @returns NaN without values. */
export const mean = (values: readonly number[]): number => sum(values) / values.length

/** Sample standard deviation (n - 1). @returns 0 with fewer than two values. */
export function standardDeviation(values: readonly number[]): number {
  const middle = mean(values)
  const squares = sum(values.map((value) => (value - middle) ** 2))
  return Math.sqrt(squares / Math.max(1, values.length - 1))
}

/** @returns NaN without values. */
export const median = (values: readonly number[]): number => quantile(values, 0.5)

/**
 * The value below which a share `q` (0 to 1) of the values lies, interpolated between ranks (type 7 of Hyndman and Fan,
 * The American Statistician 50, 1996).
 * @returns NaN without values.
 */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = q * (sorted.length - 1)
  const low = sorted[Math.floor(at)] ?? Number.NaN
  const high = sorted[Math.ceil(at)] ?? low
  const part = at - Math.floor(at)
  // Exactly the mean of both for medians: `low + (high - low) / 2` may differ from it in the last bit.
  return part === 0.5 ? (low + high) / 2 : low + part * (high - low)
}

/** Median of the absolute distances from the median. */
export function medianAbsoluteDeviation(values: readonly number[]): number {
  const middle = median(values)
  return median(values.map((value) => Math.abs(value - middle)))
}

/** Distance between the quartiles of a normal distribution, in standard deviations. */
const QUARTILE_DISTANCE = 1.349

/** Standard deviation estimated from the distance between the quartiles: outliers do not move it. */
export function quartileDeviation(values: readonly number[]): number {
  return (quantile(values, 0.75) - quantile(values, 0.25)) / QUARTILE_DISTANCE
}

/**
 * Mean of the lower values, from the 5th to the 30th percentile. Finer than a median if the values are whole
 * microseconds, and steadier on a busy machine: an interruption only ever lengthens a run, and when processes queue for
 * the CPU it lengthens most of the runs.
 */
export function lowMean(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const lower = sorted.slice(Math.floor(sorted.length * 0.05), Math.ceil(sorted.length * 0.3))
  return sum(lower) / Math.max(1, lower.length)
}

/** Other virtual machines on the host lengthen runs in bursts of seconds, by 15 to 30 %: longer runs are left out. */
const DISTURBED = 1.1

/** Median of the undisturbed values: those at most a tenth above the lowest. */
export function undisturbed(values: readonly number[]): number {
  const lowest = Math.min(...values)
  return median(values.filter((value) => value <= DISTURBED * lowest))
}
