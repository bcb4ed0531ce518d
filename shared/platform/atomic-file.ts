/** Files that appear whole or not at all: written under another name in the same folder, then renamed. */
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { open, readFile, rename, rm, stat } from 'node:fs/promises'
import { OWN_MARK } from '../contracts/file-names.ts'
import { coerceError } from './errors.ts'

/** How names of incomplete files end. */
export const PARTIAL = `${OWN_MARK}partial`

/**
 * Makes or replaces the file `target` with what `fill` writes at the path that it is given. Readers see the old content
 * or the new one. If `fill` throws, nothing of it remains.
 * @param partial where to write. The default is unique, for several writers at once; a sole writer gives one fixed name,
 *   so that its next attempt overwrites what a crash has left.
 * @throws what `fill` throws; the file system's error.
 */
export async function replaceFile<T>(
  target: string,
  fill: (partial: string) => Promise<T>,
  partial: string = uniquePartial(target),
): Promise<T> {
  try {
    const result = await fill(partial)
    await rename(partial, target)
    return result
  } catch (error) {
    // If nothing could be written, nothing can be removed either: the first error is the one to report.
    await rm(partial, { force: true }).catch(() => undefined)
    throw error
  }
}

/** Makes or replaces a small file with `content`, on the disk before it is seen. */
export async function writeWhole(target: string, content: string | Uint8Array): Promise<void> {
  await replaceFile(target, async (partial) => {
    const file = await open(partial, 'w')
    try {
      await file.writeFile(content)
      await file.datasync()
    } finally {
      await file.close()
    }
  })
}

/** The same without waiting for the disk, for processes that do nothing else meanwhile. */
export function writeWholeSync(target: string, content: string | Uint8Array): void {
  const partial = uniquePartial(target)
  try {
    fs.writeFileSync(partial, content)
    fs.renameSync(partial, target)
  } catch (error) {
    try {
      fs.rmSync(partial, { force: true })
    } catch {
      // As above.
    }
    throw error
  }
}

const uniquePartial = (target: string) => `${target}.${randomBytes(6).toString('hex')}${PARTIAL}`

/** The text of a file; undefined if there is no such file. */
export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined
    throw thrown
  }
}

/** Size and times of a file; undefined if there is no such file. */
export async function statIfThere(file: string): Promise<fs.Stats | undefined> {
  try {
    return await stat(file)
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
