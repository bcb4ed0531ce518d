/** Small files that are there whole or not at all, whatever happens while they are written. */
import fs from 'node:fs/promises'
import { coerceError } from './errors.ts'

/** What a file is called until it is complete; left over from a crash, it is overwritten by the next attempt. */
export const PARTIAL = '.partial'

export async function writeWhole(target: string, content: string | Uint8Array): Promise<void> {
  const file = await fs.open(target + PARTIAL, 'w')
  try {
    await file.writeFile(content)
    await file.datasync()
  } finally {
    await file.close()
  }
  await fs.rename(target + PARTIAL, target)
}

/** The text of a file; undefined if there is no such file. */
export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await fs.readFile(file, 'utf8')
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined
    throw thrown
  }
}

/** True for the error of a file that does not exist (ENOENT). */
export function isAbsent(thrown: unknown): boolean {
  const error = coerceError(thrown)
  return 'code' in error && error.code === 'ENOENT'
}
