/** Extremes of windows that slide over an array, and of arbitrary ranges of one. */

/**
 * Per window the minimum; Infinity if the window is empty. O(values + windows) by a monotonic queue.
 * @param low @param high windows [low[w], high[w]); neither bound ever falls.
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

/** Minima of arbitrary ranges: a sparse table, O(n log n) to make, O(1) per query. */
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

  /** Minimum of [low, high); Infinity if that is empty. */
  minimum(low: number, high: number): number {
    if (low >= high) return Infinity
    const level = 31 - Math.clz32(high - low)
    const table = this.#tables[level]!
    return Math.min(table[low]!, table[high - (1 << level)]!)
  }
}

/** Maximum of one window whose bounds only move forward, by a monotonic queue. */
export class SlidingMaximum {
  readonly #values: Float64Array
  readonly #queue: Int32Array
  #head = 0
  #tail = 0

  constructor(values: Float64Array) {
    this.#values = values
    this.#queue = new Int32Array(values.length)
  }

  /** Moves the begin of the window forward. */
  begin(at: number): void {
    while (this.#head < this.#tail && this.#queue[this.#head]! < at) this.#head += 1
  }

  /** The maximum if the value at `at` were in the window too. */
  with(at: number): number {
    const largest = this.#head < this.#tail ? this.#values[this.#queue[this.#head]!]! : 0
    return Math.max(largest, this.#values[at]!)
  }

  /** Appends the value at `at` to the window. */
  add(at: number): void {
    const value = this.#values[at]!
    while (this.#head < this.#tail && this.#values[this.#queue[this.#tail - 1]!]! <= value) this.#tail -= 1
    this.#queue[this.#tail] = at
    this.#tail += 1
  }
}
