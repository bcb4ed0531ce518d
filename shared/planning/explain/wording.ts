/** Figures as a sentence has them. */
import type { Goal } from '../objective/objectives.ts'

/** Three digits, or as many (up to six) as it takes to tell different times apart. */
export function digitsFor(times: readonly number[]): number {
  for (let digits = 3; digits < 6; digits += 1) {
    const shown = new Set(times.map((time) => formatMs(time, digits)))
    if (shown.size === new Set(times).size) return digits
  }
  return 6
}

export function formatMs(value: number, digits = 3): string {
  return `${significant(value, digits)} ms`
}

export function formatBytes(bytes: number): string {
  if (bytes >= 1e6) return `${significant(bytes / 1e6, 3)} MB`
  if (bytes >= 1e3) return `${significant(bytes / 1e3, 3)} kB`
  return bytes === 1 ? '1 byte' : `${bytes} bytes`
}

/** Rounded to so many digits, whole digits always kept; without an exponent or trailing zeros. */
export function significant(value: number, digits: number): string {
  if (value === 0) return '0'
  const whole = Math.floor(Math.log10(Math.abs(value))) + 1
  const decimals = Math.min(20, Math.max(0, digits - whole))
  const text = value.toFixed(decimals)
  return decimals === 0 ? text : text.replace(/\.?0+$/, '')
}

/** @param digits significant ones, but for bytes. */
export function formatObjective({ objective }: Pick<Goal, 'objective'>, value: number, digits = 3): string {
  switch (objective) {
    case 'latency':
      return formatMs(value, digits)
    case 'throughput':
      return `${formatMs(value, digits)} per request`
    case 'bytes':
      return formatBytes(value)
    case 'energy':
      return `${significant(value, digits)} J`
    case 'price':
      return `${significant(value, digits)} per request`
    case 'weighted':
      return `a weighted sum of ${significant(value, digits)}`
  }
}

export function listOf(items: readonly string[]): string {
  if (items.length < 2) return items.join('')
  return `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`
}
