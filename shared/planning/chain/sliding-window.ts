/** Minima of arrays and of windows that move over them. */

/**
 * Per window the least value; Infinity where it is empty. O(values + windows).
 * @param low @param high windows [low[w], high[w]), neither of which ever falls.
 */
export function windowMinima(
  values: Float64Array,
  low: Int32Array,
  high: Int32Array,
  windows: number,
): Float64Array {
  const minima = new Float64Array(windows)
  const queue = new Int32Array(values.length)
  let head = 0
  let tail = 0
  let next = 0
  for (let window = 0; window < windows; window += 1) {
    for (; next < high[window]!; next += 1) {
      const value = values[next]!
      while (tail > head && values[queue[tail - 1]!]! >= value) tail -= 1
      queue[tail] = next
      tail += 1
    }
    while (head < tail && queue[head]! < low[window]!) head += 1
    minima[window] = head < tail ? values[queue[head]!]! : Infinity
  }
  return minima
}

/** Least values of any ranges: one table per power of two. O(n log n) to make, O(1) to ask. */
export class RangeMinima {
  readonly #tables: Float64Array[]

  constructor(values: Float64Array) {
    this.#tables = [values]
    for (let half = 1; 2 * half <= values.length; half *= 2) {
      const before = this.#tables.at(-1)!
      const table = new Float64Array(values.length - 2 * half + 1)
      for (let at = 0; at < table.length; at += 1) table[at] = Math.min(before[at]!, before[at + half]!)
      this.#tables.push(table)
    }
  }

  /** Of [low, high); Infinity when that is empty. */
  least(low: number, high: number): number {
    if (low >= high) return Infinity
    const level = 31 - Math.clz32(high - low)
    const table = this.#tables[level]!
    return Math.min(table[low]!, table[high - (1 << level)]!)
  }
}
