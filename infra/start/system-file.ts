/**
 * Where a running system is: one file per system, `<data root>/systems/<port base>.json`, which the command line reads. It
 * is also the claim on that port base and its data, so that one system at a time has them:
 *
 *   absent ──claim──▶ starting ──running──▶ running ──release──▶ absent
 *                        └── its process is gone: the next claim takes the place
 *
 * A file that a crash left is recognised by its process: a later process of the same id started at another time.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { timestamp } from '../../shared/contracts/common.ts'
import { isAbsent, replaceFile } from '../../shared/platform/atomic-file.ts'
import { createClaim, discardClaim } from '../../shared/platform/claim-file.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { checkJson } from '../../shared/platform/outside-input.ts'
import { isRunning, ProcessIdentity, thisProcess } from '../../shared/platform/processes/process-identity.ts'

export const SystemRecord = ProcessIdentity.extend({
  /** As --port-base says; 0 = any free ports. */
  portBase: z.number().int().nonnegative(),
  state: z.enum(['starting', 'running']),
  startedAt: timestamp,
  /** Folder of the models, caches and logs of this system. */
  dataDir: z.string(),
  /** Only once it is running, as `services`. The URL may hold a password: the file is its owner's alone. */
  redis: z.object({ kind: z.enum(['external', 'private', 'emulated']), url: z.string() }).optional(),
  services: z
    .object({
      benchmark: z.string(),
      planner: z.string(),
      /** Name of the resource → URL of its inference service. */
      resources: z.record(z.string(), z.string()),
    })
    .optional(),
})
export type SystemRecord = z.infer<typeof SystemRecord>

export interface SystemClaim {
  /** Folder of the models, caches and logs of this system. */
  dataDir: string
  /** Says where everything is, once it runs. */
  running: (found: Required<Pick<SystemRecord, 'redis' | 'services'>>) => Promise<void>
  /** Removes the file. */
  release: () => void
}

const DEFAULT_PORT_BASE = 8080
/** Only their owner may read and write them. */
const MODE = 0o600
/** A file without content is being written, which takes a millisecond; one that stays empty was left by a crash. */
const EMPTY_MS = 10_000

const folderOf = (root: string) => path.join(root, 'systems')
const fileOf = (root: string, portBase: number) => path.join(folderOf(root), `${portBase}.json`)

/** The data of a system is its own; that of the default port base is in the root itself. */
const dataDirOf = (root: string, portBase: number) =>
  portBase === DEFAULT_PORT_BASE ? root : path.join(root, `port-base-${portBase}`)

/**
 * Claims a port base and its data folder, which is made if it is missing.
 * @param root the data folder that SCISSION_DATA names.
 * @throws ScissionError conflict if a system that runs has them, which it names.
 */
export function claimSystem(root: string, portBase: number): SystemClaim {
  const file = fileOf(root, portBase)
  const dataDir = dataDirOf(root, portBase)
  mkdirSync(folderOf(root), { recursive: true })
  mkdirSync(dataDir, { recursive: true })
  const { pid, processStart } = thisProcess()
  const startedAt = new Date().toISOString()
  const record: SystemRecord = { portBase, pid, processStart, state: 'starting', startedAt, dataDir }
  while (!createClaim(file, textOf(record), MODE)) removeStale(file, portBase)
  return {
    dataDir,
    running: (found) =>
      replaceFile(file, (partial) => {
        writeFileSync(partial, textOf({ ...record, state: 'running', ...found }), { mode: MODE })
        return Promise.resolve()
      }),
    release: () => {
      const now = read(file)?.record
      if (now?.pid === pid && now.processStart === processStart) rmSync(file, { force: true })
    },
  }
}

/** The systems of a data root that are running or being started now, by port base. Files that crashes left are not there. */
export function runningSystems(root: string): SystemRecord[] {
  return namesIn(folderOf(root))
    .flatMap((name) => read(path.join(folderOf(root), name))?.record ?? [])
    .filter(isRunning)
    .sort((a, b) => a.portBase - b.portBase)
}

const textOf = (record: SystemRecord) => `${JSON.stringify(record, null, 1)}\n`

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => /^\d+\.json$/.test(name))
  } catch (thrown) {
    if (isAbsent(thrown)) return []
    throw thrown
  }
}

/** @returns undefined if there is no such file; without a record if it cannot be read as one. */
function read(file: string): { text: string; ageMs: number; record: SystemRecord | undefined } | undefined {
  try {
    const text = readFileSync(file, 'utf8')
    // Both times are of this machine.
    const ageMs = Date.now() - statSync(file).mtimeMs
    return { text, ageMs, record: checkJson(SystemRecord, text).value }
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined
    throw thrown
  }
}

/** Removes a file that a crash left. @throws ScissionError conflict if its system runs. */
function removeStale(file: string, portBase: number): void {
  const found = read(file)
  if (!found) return
  const { text, record, ageMs } = found
  if (record ? isRunning(record) : ageMs < EMPTY_MS) throw inUse(file, portBase, record)
  discardClaim(file, text)
}

function inUse(file: string, portBase: number, record: SystemRecord | undefined): ScissionError {
  const where = record?.services ? `, benchmark service ${record.services.benchmark}` : ''
  const who = record ? `process ${record.pid}, ${record.state} since ${record.startedAt}${where}` : file
  return new ScissionError(
    'conflict',
    `a system with --port-base ${portBase} is there already (${who}): use it, stop it, or start this one with ` +
      'another --port-base N, with which it has its own ports and data',
  )
}
