/**
 * Two servers on one append-only file ruin it, and Redis itself does not look. A note in the folder says
 * which server is using it; the note counts only while that very server answers, so one left by a crash is no
 * obstacle.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { askServer } from './server-facts.ts'

const Note = z.object({ url: z.string(), pid: z.number() })
const noteIn = (dataDir: string) => path.join(dataDir, 'in-use.json')

/** @throws ScissionError conflict naming the process that has it. */
export async function refuseUsedDataDir(dataDir: string): Promise<void> {
  const note = readNote(dataDir)
  if (!note) return
  // No answer at all is what a note left behind looks like.
  const facts = await askServer(note.url).catch(() => undefined)
  if (facts?.processId !== note.pid) return
  throw new ScissionError(
    'conflict',
    `the Redis data in ${dataDir} is in use by process ${note.pid} at ${note.url}: stop the system it ` +
      `belongs to, set REDIS_URL=${note.url} to share it, or choose another folder with SCISSION_DATA`,
    note,
  )
}

export function noteDataDir(dataDir: string, url: string, pid: number): void {
  writeFileSync(noteIn(dataDir), `${JSON.stringify({ url, pid })}\n`)
}

export function releaseDataDir(dataDir: string): void {
  rmSync(noteIn(dataDir), { force: true })
}

function readNote(dataDir: string): z.infer<typeof Note> | undefined {
  try {
    return Note.parse(JSON.parse(readFileSync(noteIn(dataDir), 'utf8')))
  } catch {
    // Absent, or cut short by a crash: nobody has it.
    return undefined
  }
}
