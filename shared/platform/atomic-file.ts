/** Small files that are there whole or not at all, whatever happens while they are written. */
import fs from 'node:fs/promises'

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
