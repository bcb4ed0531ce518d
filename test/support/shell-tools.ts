/**
 * The tools of a shell that pages of the documentation use. A page finds these on its PATH and no others: one that uses
 * another tool fails on every machine until that tool is named here, and so is skipped where it is missing.
 */
import { symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { findOnPath } from '../../infra/start/processes/find-on-path.ts'
import { findPython } from './python.ts'

/** Without one of these, pages that use it are skipped. */
const TOOLS = [
  'awk',
  'base64',
  'bash',
  'cat',
  'curl',
  'cut',
  'grep',
  'head',
  'mkdir',
  'paste',
  'sed',
  'sleep',
  'tr',
  'wc',
  'yes',
]
/** What blocks say that they need (NEEDS in pages.ts) beside Python, and what `npm start` uses if it is there. */
const OPTIONAL = ['docker', 'openssl', 'ps', 'redis-server', 'valkey-server']

/** @param commands of a page. @returns the tools they use, by name, that this machine does not have; a word too many is no harm. */
export function missingTools(commands: string, searchPath = process.env.PATH): string[] {
  if (commands === '') return []
  const used = TOOLS.filter(
    (tool) => tool === 'bash' || new RegExp(String.raw`(?<![\w./-])${tool}(?![\w./-])`).test(commands),
  )
  return used.filter((tool) => findOnPath(tool, searchPath) === undefined)
}

/** Makes the tools that are here available in a folder. */
export function linkTools(folder: string): void {
  for (const tool of [...TOOLS, ...OPTIONAL]) {
    const found = findOnPath(tool)
    if (found !== undefined) symlinkSync(found, path.join(folder, tool))
  }
  const python = ['numpy, tritonclient.http', 'numpy', 'sys'].map(findPython).find(Boolean)
  if (python === undefined) return
  // It finds its environment by the place where it was started.
  const start = `#!/bin/sh\nexec '${findOnPath(python) ?? python}' "$@"\n`
  writeFileSync(path.join(folder, 'python3'), start, { mode: 0o755 })
}
