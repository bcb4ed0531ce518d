/** The imports of TypeScript files, read from their text. TypeScript 7 has no API that would tell. */
import path from 'node:path'

/** Path in the repository, with `/` → the file's text. */
export type Sources = ReadonlyMap<string, string>

export interface Import {
  from: string
  /** A file of the repository, or the name of a package or of a part of Node. */
  to: string
  /** Erased when compiled. `import { type A }` is not: what is left of it loads the module. */
  isType: boolean
  isFile: boolean
}

const STATEMENT = /^(?:import|export)\s+(type\s+)?(?:([\w*{][^'"]*?)\s+from\s+)?'([^'\n]+)'/gm
const DYNAMIC = /\bimport\(\s*'([^'\n]+)'\s*\)/g

const known = new WeakMap<Sources, Import[]>()

/** @returns every import of every file, in the order of the sources. */
export function importsOf(sources: Sources): readonly Import[] {
  const found = known.get(sources) ?? readImports(sources)
  known.set(sources, found)
  return found
}

function readImports(sources: Sources): Import[] {
  return [...sources].flatMap(([from, text]) => {
    const code = withoutComments(text)
    const statements = [...code.matchAll(STATEMENT)].map(([, type, , specifier = '']) => ({
      specifier,
      isType: type !== undefined,
    }))
    const dynamic = [...code.matchAll(DYNAMIC)].map(([, specifier = '']) => ({ specifier, isType: false }))
    return [...statements, ...dynamic].map(({ specifier, isType }) => {
      const isFile = specifier.startsWith('.')
      const to = isFile ? path.posix.join(path.posix.dirname(from), specifier) : specifier
      return { from, to, isType, isFile }
    })
  })
}

/** Comments become blanks; a `//` inside a string, as in a URL, is none. */
function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/[^\n]*/g, '')
}

/** Every strongly connected group of two nodes and more, as one cycle through it: `[a, b, a]`. */
export function cyclesOf(edges: readonly { from: string; to: string }[]): string[][] {
  const next = new Map<string, Set<string>>()
  for (const { from, to } of edges)
    if (from !== to) next.set(from, (next.get(from) ?? new Set<string>()).add(to))
  const cycles: string[][] = []
  const seen = new Set<string>()
  for (const start of [...next.keys()].sort()) {
    const cycle = seen.has(start) ? undefined : shortestPath(next, start, start)
    if (cycle === undefined) continue
    cycles.push(cycle)
    for (const node of next.keys())
      if (shortestPath(next, start, node) && shortestPath(next, node, start)) seen.add(node)
  }
  return cycles
}

/** @returns a shortest path of at least one edge; undefined if there is none. */
function shortestPath(
  next: ReadonlyMap<string, ReadonlySet<string>>,
  start: string,
  goal: string,
): string[] | undefined {
  const before = new Map<string, string>()
  const queue = [start]
  for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
    for (const to of next.get(node) ?? []) {
      if (before.has(to)) continue
      before.set(to, node)
      if (to === goal) return trace(before, start, goal)
      queue.push(to)
    }
  }
  return undefined
}

function trace(before: ReadonlyMap<string, string>, start: string, goal: string): string[] {
  const reversed = [goal]
  let node = before.get(goal)
  while (node !== undefined && node !== start) {
    reversed.push(node)
    node = before.get(node)
  }
  return [...reversed, start].reverse()
}
