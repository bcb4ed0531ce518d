/**
 * Prevents two Redis servers from using one append-only file, which would destroy it; Redis does not check this itself. A
 * note in the folder names the server that uses it. The note is valid only while that server answers, so a note left by a
 * crash is ignored. Until a server that is being started answers, a claim keeps others away: it is a file that only one
 * process can make.
 */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { isAbsent } from '../../../shared/platform/atomic-file.ts'
import { createClaim, discardClaim } from '../../../shared/platform/claim-file.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { hidePasswordOf } from '../../../shared/platform/hidden-passwords.ts'
import { isRunning } from '../../../shared/platform/processes/process-identity.ts'
import { askServer } from './server-facts.ts'

const Note = z.object({ url: z.string(), pid: z.number() })
const noteIn = (dataDir: string) => path.join(dataDir, 'in-use.json')

/** A start takes less time than this. An older claim was left by a crash; its process id may belong to another process now. */
const CLAIM_MS = 150_000
const MODE = 0o644
/** The URL in a note holds a password. */
const NOTE_MODE = 0o600

/**
 * Claims the folder for a server that is about to be started.
 * @returns gives the claim back; to be called once the note is there or the start has failed.
 * @throws ScissionError conflict if another start has claimed it.
 */
export function claimDataDir(dataDir: string): () => void {
  const file = path.join(dataDir, 'starting')
  while (!createClaim(file, `${process.pid}\n`, MODE)) {
    const found = look(file)
    if (found?.isUnderWay)
      throw new ScissionError(
        'conflict',
        `another system is being started on the Redis data in ${dataDir}: wait until it is up, or choose another ` +
          `folder with SCISSION_DATA. If none is, remove ${file}`,
      )
    if (found) discardClaim(file, found.text)
  }
  return () => rmSync(file, { force: true })
}

/** @returns undefined if there is no claim any more. */
function look(file: string): { text: string; isUnderWay: boolean } | undefined {
  try {
    const ageMs = Date.now() - statSync(file).mtimeMs
    const text = readFileSync(file, 'utf8')
    const pid = Number.parseInt(text)
    // An empty one is being written.
    const isUnderWay = ageMs <= CLAIM_MS && (!(pid > 0) || isRunning({ pid, processStart: '' }))
    return { text, isUnderWay }
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined
    throw thrown
  }
}

/** @throws ScissionError conflict, which names the process that uses the folder. */
export async function refuseUsedDataDir(dataDir: string): Promise<void> {
  const note = readNote(dataDir)
  if (!note) return
  // No answer means that the note was left by a crash.
  const facts = await askServer(note.url).catch(() => undefined)
  if (facts?.processId !== note.pid) return
  throw new ScissionError(
    'conflict',
    `the Redis data in ${dataDir} is in use by process ${note.pid} at ${hidePasswordOf(note.url)}: stop the system it ` +
      `belongs to, set REDIS_URL to the url in ${noteIn(dataDir)} to share it, or choose another folder with SCISSION_DATA`,
    { ...note, url: hidePasswordOf(note.url) },
  )
}

export function noteDataDir(dataDir: string, url: string, pid: number): void {
  const file = noteIn(dataDir)
  // The mode is that of a new file only.
  rmSync(file, { force: true })
  writeFileSync(file, `${JSON.stringify({ url, pid })}\n`, { mode: NOTE_MODE })
}

/** Removes the note of this server. One that was started since this one ended keeps its own. */
export function releaseDataDir(dataDir: string, url: string, pid: number): void {
  const note = readNote(dataDir)
  if (note?.url === url && note.pid === pid) rmSync(noteIn(dataDir), { force: true })
}

function readNote(dataDir: string): z.infer<typeof Note> | undefined {
  try {
    return Note.parse(JSON.parse(readFileSync(noteIn(dataDir), 'utf8')))
  } catch {
    // The note is missing, or a crash left it incomplete: the folder is free.
    return undefined
  }
}
