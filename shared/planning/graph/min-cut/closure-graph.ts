/** Closure graphs: implications among nodes, of which a closure solver chooses a closed set. */

/** Nodes 0..nodes-1. Arc a means: if `from[a]` is chosen, `to[a]` is chosen too. Arcs lead to higher numbers. */
export interface ClosureGraph {
  nodes: number
  from: Int32Array
  to: Int32Array
}

/** State of a node that is neither chosen (1) nor excluded (0). */
export const FREE = -1

/** Larger graphs keep all their arcs: reachability takes nodes² / 8 bytes while it is computed. */
const MAX_NODES = 8192

/**
 * The graph without the arcs that follow from others (A. Aho, M. Garey and J. Ullman, The transitive reduction of a
 * directed graph, SIAM Journal on Computing 1, 1972). The arc of a skip connection follows from the branch around it, and
 * without the arc the branch is a chain, which reduction.ts merges into one node before a cut.
 * @returns arcs by ascending `from`.
 */
export function transitiveReduction({ nodes, from, to }: ClosureGraph): ClosureGraph {
  const successors = Array.from({ length: nodes }, (): number[] => [])
  for (let arc = 0; arc < from.length; arc += 1) successors[from[arc]!]!.push(to[arc]!)
  if (nodes <= MAX_NODES) dropImplied(successors)
  const kept = { nodes, from: [] as number[], to: [] as number[] }
  successors.forEach((own, node) => {
    for (const next of own) {
      kept.from.push(node)
      kept.to.push(next)
    }
  })
  return { nodes, from: Int32Array.from(kept.from), to: Int32Array.from(kept.to) }
}

function dropImplied(successors: number[][]): void {
  const nodes = successors.length
  const words = (nodes + 31) >> 5
  const reached = new Int32Array(nodes * words)
  for (let node = nodes - 1; node >= 0; node -= 1)
    successors[node] = needed(successors[node]!, reached, node * words, words)
}

/**
 * The successors of a node that no other successor leads to. Marks in the node's row of `reached` all that it reaches. Arcs
 * lead to higher numbers, so in ascending order every node that leads to a successor comes before it.
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
