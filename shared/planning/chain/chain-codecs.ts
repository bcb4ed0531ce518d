/** Codecs as arrays over the boundaries. */
import type { Problem } from '../problem/problem.ts'

export interface ChainCodec {
  name: string
  /** Per boundary: wire bytes, NaN where the codec is not calibrated. Whole bytes. */
  wireBytes: Float64Array
  /** Per boundary: share of answers spoiled. */
  loss: Float64Array
}

/** Index of the codec that changes nothing. */
export const NONE = 0

/** What a problem without codecs has, too: `none` everywhere; others where they have a cell, sorted by name. */
export function codecsOf(problem: Problem): ChainCodec[] {
  const { boundaries } = problem.structure
  const none = {
    name: 'none',
    wireBytes: Float64Array.from(boundaries, ({ bytes }) => bytes),
    loss: new Float64Array(boundaries.length),
  }
  const others = (problem.codecs ?? [])
    .filter(({ name }) => name !== 'none')
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  return [
    none,
    ...others.map(({ name, cells }) => {
      const wireBytes = new Float64Array(boundaries.length).fill(NaN)
      const loss = new Float64Array(boundaries.length)
      for (const { boundary, bytesRatio, accuracyLoss } of cells) {
        wireBytes[boundary] = Math.round(none.wireBytes[boundary]! * bytesRatio)
        loss[boundary] = accuracyLoss
      }
      return { name, wireBytes, loss }
    }),
  ]
}
