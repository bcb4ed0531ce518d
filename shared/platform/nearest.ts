/** Hints for unknown names: the known names and, if one of them is close, the name that was probably meant. */
import leven from 'leven'

/** @returns the end of a sentence about an unknown name: `; did you mean edge-1? known: cloud, device, edge-1`. */
export function nearest(name: string, known: readonly string[]): string {
  if (known.length === 0) return '; there are none'
  const ranked = known
    .map((candidate) => ({ candidate, edits: leven(name.toLowerCase(), candidate) }))
    .sort((a, b) => a.edits - b.edits)
  const best = ranked[0]
  const close = best !== undefined && best.edits <= Math.ceil(name.length / 3)
  const listed = known.length > 10 ? `${known.slice(0, 10).join(', ')}, …` : known.join(', ')
  return `${close ? `; did you mean ${best.candidate}?` : ';'} known: ${listed}`
}
