/**
 * Implications that follow from others left out (the transitive reduction: A. Aho, M. Garey and J. Ullman, SIAM Journal
 * on Computing 1, 1972). The arc of a skip connection says nothing that the branch around it does not say, and without it
 * the branch is a chain, which vanishes before a cut (graph-reduce.ts).
 */
import type { ClosureGraph } from './closure-solver.ts'

/** Reachability takes nodes² / 8 bytes while it is worked out; larger graphs keep all their arcs. */
const MOST_NODES = 8192

/** Arcs by ascending `from`. */
export function withoutDetours({ nodes, from, to }: ClosureGraph): ClosureGraph {
  const successors = Array.from({ length: nodes }, (): number[] => [])
  for (let arc = 0; arc < from.length; arc += 1) successors[from[arc]!]!.push(to[arc]!)
  if (nodes <= MOST_NODES) dropDetours(successors)
  const kept = { nodes, from: [] as number[], to: [] as number[] }
  successors.forEach((own, node) => {
    for (const next of own) {
      kept.from.push(node)
      kept.to.push(next)
    }
  })
  return { nodes, from: Int32Array.from(kept.from), to: Int32Array.from(kept.to) }
}

function dropDetours(successors: number[][]): void {
  const nodes = successors.length
  const words = (nodes + 31) >> 5
  const reached = new Int32Array(nodes * words)
  for (let node = nodes - 1; node >= 0; node -= 1)
    successors[node] = needed(successors[node]!, reached, node * words, words)
}

/**
 * Of a node's successors those that no other one leads to; marks in its row all that it reaches. Arcs lead to higher
 * numbers: whatever leads to a successor comes before it.
 */
function needed(successors: number[], reached: Int32Array, row: number, words: number): number[] {
  const kept: number[] = []
  for (const next of successors.sort((a, b) => a - b)) {
    const at = row + (next >> 5)
    const bit = 1 << (next & 31)
    if ((reached[at]! & bit) !== 0) continue
    kept.push(next)
    for (let word = next >> 5; word < words; word += 1) reached[row + word]! |= reached[next * words + word]!
    reached[at]! |= bit
  }
  return kept
}
