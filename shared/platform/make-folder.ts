/** Makes a folder with all above it. Node's own `recursive` tries for ever where the system takes no folders (`/proc/x`). */
import { mkdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { coerceError } from './errors.ts'

/** Nothing happens if it is there. @throws the error of the system, with its path. */
export async function makeFolder(folder: string): Promise<void> {
  if (await isFolder(folder)) return
  const above = path.dirname(path.resolve(folder))
  if (!(await isFolder(above))) await makeFolder(above)
  await mkdir(folder).catch(async (thrown: unknown) => {
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
