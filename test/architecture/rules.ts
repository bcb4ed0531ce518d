/** The rules on imports and names. Each returns one text per violation, which names the offending edge or files. */
import path from 'node:path'
import { cyclesOf, type Import, importsOf, type Sources } from './import-graph.ts'

const within = (folder: string, file: string) => file.startsWith(`${folder}/`)
const edge = ({ from, to }: Pick<Import, 'from' | 'to'>) => `${from} -> ${to}`

/** No file imports a value from itself by way of others: what is imported might not be initialised yet. */
export function valueCycles(sources: Sources): string[] {
  const values = importsOf(sources).filter(({ isFile, isType }) => isFile && !isType)
  return cyclesOf(values).map((cycle) => cycle.join(' -> '))
}

/** The folders below `root` depend on each other one way only, types included. Each names the file of every edge. */
export function folderCycles(sources: Sources, root: string): string[] {
  const crossing = importsOf(sources).filter(
    ({ from, to }) =>
      within(root, from) && within(root, to) && path.posix.dirname(from) !== path.posix.dirname(to),
  )
  const folders = crossing.map(({ from, to }) => ({
    from: path.posix.dirname(from),
    to: path.posix.dirname(to),
  }))
  return cyclesOf(folders).map((cycle) =>
    cycle
      .slice(1)
      .map((to, at) => {
        const found = crossing.find(
          (one) => path.posix.dirname(one.from) === cycle[at] && path.posix.dirname(one.to) === to,
        )
        return found ? edge(found) : `${cycle[at]} -> ${to}`
      })
      .join(', '),
  )
}

/** No service imports another. */
export function servicesApart(sources: Sources): string[] {
  const serviceOf = (file: string) => /^services\/[^/]+/.exec(file)?.[0]
  return importsOf(sources)
    .filter(({ from, to }) => {
      const [a, b] = [serviceOf(from), serviceOf(to)]
      return a !== undefined && b !== undefined && a !== b
    })
    .map(edge)
}

/** No file of `folder` imports one of `forbidden`. */
export function keepsOutOf(sources: Sources, folder: string, forbidden: string): string[] {
  return importsOf(sources)
    .filter(({ from, to }) => within(folder, from) && within(forbidden, to))
    .map(edge)
}

/** Only `index.ts` of a folder is imported from outside it. */
export function onlyThroughDoor(sources: Sources, folder: string): string[] {
  return importsOf(sources)
    .filter(({ from, to }) => !within(folder, from) && within(folder, to) && to !== `${folder}/index.ts`)
    .map(edge)
}

/** Packages that open connections or serve. */
const SERVERS = /^(express|ioredis|bullmq|undici|axios|helmet)(\/|$)/

export interface Purity {
  /** `node:fs` and the like. */
  allowedBuiltins?: readonly string[]
  /** File or package → why it may be imported although it is not pure. It is not followed. */
  exceptions?: Readonly<Record<string, string>>
}

/**
 * The files of `folder`, and all that they load, import nothing of Node, Redis or HTTP. Types are erased and do not
 * count.
 */
export function staysPure(
  sources: Sources,
  folder: string,
  { allowedBuiltins = [], exceptions = {} }: Purity = {},
): string[] {
  const roots = [...sources.keys()].filter((file) => within(folder, file))
  return loadedBy(sources, roots, Object.keys(exceptions))
    .filter(({ to }) => (to.startsWith('node:') && !allowedBuiltins.includes(to)) || SERVERS.test(to))
    .map(({ chain }) => chain)
}

/** What starts with `file` loads no package of `forbidden`. */
export function doesNotLoad(sources: Sources, file: string, forbidden: readonly string[]): string[] {
  return loadedBy(sources, [file])
    .filter(({ to }) => forbidden.includes(to))
    .map(({ chain }) => chain)
}

/**
 * Every import of a package or of a part of Node by `roots` and the files that they load.
 * @param passedOver files and packages that are not followed.
 */
function loadedBy(sources: Sources, roots: readonly string[], passedOver: readonly string[] = []) {
  const byFile = new Map<string, Import[]>()
  for (const one of importsOf(sources))
    if (!one.isType) byFile.set(one.from, [...(byFile.get(one.from) ?? []), one])
  const reached = new Map(roots.map((file) => [file, file]))
  const found: { to: string; chain: string }[] = []
  // A Map gives also what is added while it is read.
  for (const [file, way] of reached) {
    for (const { to, isFile } of byFile.get(file) ?? []) {
      if (passedOver.includes(to)) continue
      const chain = `${way} -> ${to}`
      if (!isFile) found.push({ to, chain })
      else if (!reached.has(to)) reached.set(to, chain)
    }
  }
  return found
}

/** @returns the exceptions without which the folder would be as pure: they are to be removed. */
export function needlessExceptions(sources: Sources, folder: string, purity: Purity): string[] {
  const { exceptions = {} } = purity
  const before = staysPure(sources, folder, purity).length
  return Object.keys(exceptions).filter((one) => {
    const others = Object.fromEntries(Object.entries(exceptions).filter(([name]) => name !== one))
    return staysPure(sources, folder, { ...purity, exceptions: others }).length === before
  })
}

const COMMON_NAMES = new Set(['index.ts', 'main.ts', 'app.ts'])

/** A file's name tells what is in it without its folder: no two are alike. */
export function namesAlike(sources: Sources): string[] {
  const byName = new Map<string, string[]>()
  for (const file of sources.keys()) {
    const name = path.posix.basename(file)
    byName.set(name, [...(byName.get(name) ?? []), file])
  }
  return [...byName]
    .filter(([name, files]) => files.length > 1 && !COMMON_NAMES.has(name))
    .map(([, files]) => files.join(' and '))
}
