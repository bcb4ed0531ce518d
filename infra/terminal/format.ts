/** Formats numbers for people: three significant digits and a unit. */

/** 0.0421 → "0.042 ms"; 12.345 → "12.3 ms"; 2500 → "2.50 s". */
export function formatMs(value: number): string {
  if (value >= 1000) return `${threeDigits(value / 1000)} s`
  if (value >= 1) return `${threeDigits(value)} ms`
  return `${value.toFixed(3)} ms`
}

/** Uses decimal units, as all of Scission does: 1 kB = 1000 bytes. */
export function formatBytes(bytes: number): string {
  if (bytes >= 1e9) return `${threeDigits(bytes / 1e9)} GB`
  if (bytes >= 1e6) return `${threeDigits(bytes / 1e6)} MB`
  if (bytes >= 1e3) return `${threeDigits(bytes / 1e3)} kB`
  return `${bytes} B`
}

/** 18.94 → "18.9 Mbit/s"; 5286 → "5.29 Gbit/s". */
export function formatMbps(value: number): string {
  return value >= 1000 ? `${threeDigits(value / 1000)} Gbit/s` : `${threeDigits(value)} Mbit/s`
}

/** 0.1234 → "12.3 %". */
export const formatShare = (share: number): string => `${(100 * share).toFixed(1)} %`

/** Without an exponent: 13.482 → "13.5", 602.112 → "602", 12345.6 → "12346". */
export function threeDigits(value: number): string {
  const size = Math.abs(value)
  // 9.996 would become 10.00.
  const digits = size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2
  return value.toFixed(digits)
}

export function formatShape(shape: readonly (number | string)[]): string {
  return shape.length === 0 ? 'scalar' : shape.join('x')
}

/** `1.2e-7`; a difference that is none is `0`. */
export const formatDifference = (value: number): string => (value === 0 ? '0' : value.toExponential(1))
