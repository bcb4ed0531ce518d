/** Tells whether a file of settings was replaced while a service runs. */
import { statSync } from 'node:fs'

/** Changes with the file, also where a clock that ticks slowly gives both the same time. A file that is being replaced may be away for a moment. */
export function fileStamp(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false })
  return stat ? `${stat.ino} ${stat.size} ${stat.mtimeMs}` : ''
}
