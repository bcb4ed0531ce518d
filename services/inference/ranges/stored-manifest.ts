/** A range's manifest on disk: its presence says that the range is complete here, its mtime when it was last used. */
import fs from 'node:fs/promises'
import { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import { writeWhole } from '../../../shared/platform/atomic-file.ts'

/** The manifest at `file`; undefined when there is none that this version can read. */
export async function readManifest(file: string): Promise<RangeManifest | undefined> {
  const text = await readText(file)
  if (text === undefined) return undefined
  try {
    return RangeManifest.parse(JSON.parse(text))
  } catch {
    return undefined // Of another version, or damaged: the range counts as not here and is fetched again.
  }
}

/** Writes it, or touches it when it is there already. */
export async function writeManifest(file: string, manifest: RangeManifest): Promise<void> {
  const text = JSON.stringify(manifest)
  if ((await readText(file)) !== text) return writeWhole(file, text)
  const now = new Date()
  await fs.utimes(file, now, now)
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await fs.readFile(file, 'utf8')
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined
    throw thrown
  }
}

/** True for the error of a file that is not there. */
export function isAbsent(thrown: unknown): boolean {
  const error = coerceError(thrown)
  return 'code' in error && error.code === 'ENOENT'
}
