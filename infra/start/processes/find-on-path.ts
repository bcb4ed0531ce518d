import { accessSync, constants } from 'node:fs'
import path from 'node:path'

/** The path of an executable found on PATH, or undefined. */
export function findOnPath(command: string, searchPath = process.env.PATH ?? ''): string | undefined {
  const extensions = process.platform === 'win32' ? ['.exe', '.cmd'] : ['']
  const candidates = searchPath
    .split(path.delimiter)
    .filter(Boolean)
    .flatMap((folder) => extensions.map((extension) => path.join(folder, command + extension)))
  return candidates.find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
