/**
 * The value below which a share `q` (0 to 1) of the values lies, by nearest rank, so that it is one of them: for
 * percentiles of request times.
 * @throws RangeError without values.
 */
export function nearestRank(values: readonly number[], q: number): number {
  if (values.length === 0) throw new RangeError('no samples')
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1] ?? Number.NaN
}
