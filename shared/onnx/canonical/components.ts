/**
 * Strongly connected components of a directed graph, by Tarjan's algorithm (R. Tarjan, Depth-first search and linear graph
 * algorithms, 1972). With a stack of its own: real graphs are deeper than the call stack.
 */

/**
 * @param count vertices are 0 to `count` − 1.
 * @param edges the vertices that each vertex leads to.
 * @returns the component of each vertex; vertices on a common cycle have the same number.
 */
export function stronglyConnected(count: number, edges: (vertex: number) => Iterable<number>): Int32Array {
  const component = new Int32Array(count).fill(-1)
  const order = new Int32Array(count).fill(-1)
  /** The earliest vertex, by order, that is still open and can be reached. */
  const lowest = new Int32Array(count)
  const open: number[] = []
  let visited = 0
  let components = 0
  const enter = (vertex: number) => {
    order[vertex] = lowest[vertex] = visited++
    open.push(vertex)
    return { vertex, next: edges(vertex)[Symbol.iterator]() }
  }
  for (let start = 0; start < count; start++) {
    if (order[start] !== -1) continue
    const path = [enter(start)]
    for (let at = path.at(-1); at; at = path.at(-1)) {
      const { vertex, next } = at
      const step = next.next()
      if (!step.done) {
        const to = step.value
        if (order[to] === -1) path.push(enter(to))
        else if (component[to] === -1) lowest[vertex] = Math.min(lowest[vertex]!, order[to]!)
        continue
      }
      path.pop()
      const parent = path.at(-1)
      if (parent) lowest[parent.vertex] = Math.min(lowest[parent.vertex]!, lowest[vertex]!)
      if (lowest[vertex] !== order[vertex]) continue
      for (let member = open.pop(); member !== undefined; member = open.pop()) {
        component[member] = components
        if (member === vertex) break
      }
      components++
    }
  }
  return component
}
