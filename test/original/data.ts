/** Where the original's published data is; tests that need it are skipped, with a word, where it is not. */
import { existsSync } from 'node:fs'
import path from 'node:path'

export const SCISSION_DATA = path.resolve('../shared/scission')

export function skipWithoutData(): boolean {
  if (existsSync(SCISSION_DATA)) return false
  console.warn(`skipped: the original's data is not in ${SCISSION_DATA}`)
  return true
}
