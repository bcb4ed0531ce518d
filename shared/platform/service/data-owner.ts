/**
 * Who uses a data folder: each service that does has a file in `.in-use` of it while it runs. A service that must not share the
 * folder with one that runs is refused, with who that is:
 *
 *   an inference service   has `<folder>/<resource>` alone
 *   benchmark services     share models and uploads, if they are replicas of one system, which is: have the same Redis
 *
 * A file that a crash left is recognised by its process. One of another container or machine cannot be told from one that runs,
 * and does not count: a container that was killed leaves one, and must start again.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { timestamp } from '../../contracts/common.ts'
import { isAbsent } from '../atomic-file.ts'
import { ScissionError } from '../errors.ts'
import { checkJson } from '../outside-input.ts'
import { isRunning, ProcessIdentity, PROCESS_SPACE, thisProcess } from '../processes/process-identity.ts'

/** No resource can have this name. */
const FOLDER = '.in-use'
const MODE = 0o600

const Note = ProcessIdentity.extend({
  space: z.string(),
  /** "inference edge" */
  service: z.string(),
  /** Those with the same may share the folder; absent: nobody may. */
  system: z.string().optional(),
  startedAt: timestamp,
})
type Note = z.infer<typeof Note>

export type DataUse = Pick<Note, 'service' | 'system'>

/**
 * Notes that this process uses the folder, which is made if it is missing. Of two that begin at once both may be refused.
 * @returns takes the note back; to be called when the service has ended.
 * @throws ScissionError conflict, which names the process that uses it; the file system's error.
 */
export function useDataFolder(dataDir: string, use: DataUse): () => void {
  const folder = path.join(dataDir, FOLDER)
  mkdirSync(folder, { recursive: true })
  const own = path.join(folder, `${randomUUID()}.json`)
  const note: Note = { ...thisProcess(), space: PROCESS_SPACE, ...use, startedAt: new Date().toISOString() }
  writeFileSync(own, `${JSON.stringify(note)}\n`, { mode: MODE })
  const release = () => rmSync(own, { force: true })
  const other = othersIn(folder, own).find((one) => one.service === use.service && !mayShare(one, use))
  if (other === undefined) return release
  release()
  throw inUse(dataDir, other, use)
}

const mayShare = (one: DataUse, other: DataUse) => one.system !== undefined && one.system === other.system

/** The notes of others that run, as far as that can be told. Removes those of processes that are gone. */
function othersIn(folder: string, own: string): Note[] {
  return readdirSync(folder).flatMap((name) => {
    const file = path.join(folder, name)
    const note = file === own ? undefined : read(file)
    if (note?.space !== PROCESS_SPACE) return []
    if (isRunning(note)) return [note]
    rmSync(file, { force: true })
    return []
  })
}

/** @returns undefined if it is gone, or not whole: it is being written by one that will look for this one's. */
function read(file: string): Note | undefined {
  try {
    return checkJson(Note, readFileSync(file, 'utf8')).value
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined
    throw thrown
  }
}

function inUse(dataDir: string, { pid, service, system, startedAt }: Note, use: DataUse): ScissionError {
  const why =
    system === undefined
      ? 'set SCISSION_RESOURCE to the name of this machine, or SCISSION_DATA to a folder of its own'
      : `replicas share it only with the same REDIS_URL: that one has ${system}, this one ${use.system ?? 'none'}. Set ` +
        'SCISSION_DATA to another folder'
  return new ScissionError(
    'conflict',
    `the data folder ${dataDir} is in use by another ${service} service, process ${pid} since ${startedAt}: stop that, or ${why}`,
    { folder: dataDir, pid, service, startedAt },
  )
}
