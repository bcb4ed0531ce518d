/** Formats numbers for people: three significant digits and a unit. */

/** 0.0421 → "0.042 ms"; 12.345 → "12.3 ms"; 2500 → "2.50 s". */
export function formatMs(value: number): string {
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`
  if (value >= 100) return `${value.toFixed(0)} ms`
  if (value >= 10) return `${value.toFixed(1)} ms`
  if (value >= 1) return `${value.toFixed(2)} ms`
  return `${value.toFixed(3)} ms`
}

/** Uses decimal units, as all of Scission does: 1 kB = 1000 bytes. */
export function formatBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(2)} MB`
  if (bytes >= 1e3) return `${(bytes / 1e3).toFixed(1)} kB`
  return `${bytes} B`
}

export function formatMbps(value: number): string {
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(2)} Mbit/s`
}

export function formatShape(shape: readonly (number | string)[]): string {
  return shape.length === 0 ? 'scalar' : shape.join('x')
}
