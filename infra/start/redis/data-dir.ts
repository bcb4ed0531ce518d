/**
 * Prevents two Redis servers from using one append-only file, which would destroy it; Redis does not check this itself. A
 * note in the folder names the server that uses it. The note is valid only while that server answers, so a note left by a
 * crash is ignored.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { askServer } from './server-facts.ts'

const Note = z.object({ url: z.string(), pid: z.number() })
const noteIn = (dataDir: string) => path.join(dataDir, 'in-use.json')

/** @throws ScissionError conflict, which names the process that uses the folder. */
export async function refuseUsedDataDir(dataDir: string): Promise<void> {
  const note = readNote(dataDir)
  if (!note) return
  // No answer means that the note was left by a crash.
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
    // The note is missing, or a crash left it incomplete: the folder is free.
    return undefined
  }
}
