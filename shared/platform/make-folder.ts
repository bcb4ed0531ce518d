/** Makes a folder with all above it. Node's own `recursive` tries for ever where the system takes no folders (`/proc/x`). */
import { mkdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { coerceError } from './errors.ts'

/** Of models, samples and records: no other user of the machine looks into it. */
export const OWN_FOLDER = 0o700

/**
 * Nothing happens if it is there.
 * @param mode of those that are made. @defaultValue as the process' mask has it
 * @throws the error of the system, with its path.
 */
export async function makeFolder(folder: string, mode?: number): Promise<void> {
  if (await isFolder(folder)) return
  const above = path.dirname(path.resolve(folder))
  if (!(await isFolder(above))) await makeFolder(above, mode)
  await mkdir(folder, { mode }).catch(async (thrown: unknown) => {
    // Another process may have made it meanwhile.
    const isThere =
      (coerceError(thrown) as NodeJS.ErrnoException).code === 'EEXIST' && (await isFolder(folder))
    if (!isThere) throw thrown
  })
}

const isFolder = (file: string): Promise<boolean> =>
  stat(file).then(
    (found) => found.isDirectory(),
    () => false,
  )
