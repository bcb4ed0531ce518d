/** Hints for unknown names: the known names and, if one of them is close, the name that was probably meant. */

/** @returns the end of a sentence about an unknown name: `; did you mean edge-1? known: cloud, device, edge-1`. */
export function nearest(name: string, known: readonly string[]): string {
  if (known.length === 0) return '; there are none'
  const ranked = known
    .map((candidate) => ({ candidate, edits: editDistance(name.toLowerCase(), candidate) }))
    .sort((a, b) => a.edits - b.edits)
  const best = ranked[0]
  const close = best !== undefined && best.edits <= Math.ceil(name.length / 3)
  const listed = known.length > 10 ? `${known.slice(0, 10).join(', ')}, …` : known.join(', ')
  return `${close ? `; did you mean ${best.candidate}?` : ';'} known: ${listed}`
}

/** Levenshtein's distance: the fewest single-character insertions, deletions and substitutions. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = row[j - 1]! + Number(a[i - 1] !== b[j - 1])
      next.push(Math.min(substitution, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}
