/** Figures that survive a busy machine. */

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? 0
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? upper) + upper) / 2 : upper
}

/**
 * Mean of the lower values, from the 5th to the 30th percentile. Finer than a median where the values are whole
 * microseconds, and steadier on a busy machine: what interrupts a run only ever lengthens it, and when processes
 * queue for the CPU it lengthens most of the runs.
 */
export function lowMean(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const lower = sorted.slice(Math.floor(sorted.length * 0.05), Math.ceil(sorted.length * 0.3))
  return lower.reduce((sum, value) => sum + value, 0) / Math.max(1, lower.length)
}

/** A neighbour on the machine lengthens runs in bursts of seconds, by 15 to 30 % (seen on virtual machines). */
const DISTURBED = 1.1

/** Median of the values that nothing disturbed: those at most a tenth above the lowest. */
export function undisturbed(values: readonly number[]): number {
  const lowest = Math.min(...values)
  return median(values.filter((value) => value <= DISTURBED * lowest))
}

/** The value below which a share `q` lies, between ranks linearly (type 7 of Hyndman and Fan, 1996). */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = q * (sorted.length - 1)
  const low = sorted[Math.floor(at)] ?? 0
  return low + (at - Math.floor(at)) * ((sorted[Math.ceil(at)] ?? low) - low)
}
