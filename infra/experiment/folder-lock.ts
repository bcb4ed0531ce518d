/**
 * The lock of an experiment's folder: one process at a time writes there. It is a file in it, which names its owner, and which
 * its owner touches every few seconds.
 *
 *   absent ──lock──▶ held ──release──▶ absent
 *                     └── owner gone: taken over
 *
 * An owner whose process id means the same here is gone if that process is. One of another host or container, which shares the
 * folder, is gone if the file was not touched for a while, by the clock of the one that waits.
 */
import { closeSync, fstatSync, openSync, readFileSync, rmSync, utimesSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import os from 'node:os'
import { z } from 'zod'
import { timestamp } from '../../shared/contracts/common.ts'
import { isAbsent } from '../../shared/platform/atomic-file.ts'
import { createClaim, discardClaim } from '../../shared/platform/claim-file.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { checkJson } from '../../shared/platform/outside-input.ts'
import {
  isRunning,
  ProcessIdentity,
  PROCESS_SPACE,
  thisProcess,
} from '../../shared/platform/processes/process-identity.ts'

export const LOCK_FILE = 'experiment.lock'

const Owner = ProcessIdentity.extend({ host: z.string(), space: z.string(), startedAt: timestamp })

export interface FolderLock {
  /** @throws ScissionError conflict if another process has the lock: this one stood still for so long that it seemed gone. */
  assertHeld: () => void
  release: () => void
}

export interface LockWait {
  /** Ends the wait for a sign of an owner elsewhere. */
  signal?: AbortSignal
  /** Tells the user why it takes long, and whose lock was taken over. */
  say?: (text: string) => void
  /** ms without a sign after which an owner elsewhere is gone. */
  untouchedMs?: number
}

const TOUCH_EVERY_MS = 2000
/** A host that is busy, or whose file server is, touches late. */
const UNTOUCHED_MS = 30_000
const LOOK_EVERY_MS = 200
/** Several users may share a folder: all may see who works there. */
const MODE = 0o644

/**
 * @throws ScissionError badRequest, which names the folder and the process that works there; the reason of the signal; the
 *   file system's error.
 */
export async function lockFolder(folder: string, wait: LockWait = {}): Promise<FolderLock> {
  const file = path.join(folder, LOCK_FILE)
  const startedAt = new Date().toISOString()
  const text = `${JSON.stringify({ ...thisProcess(), host: os.hostname(), space: PROCESS_SPACE, startedAt })}\n`
  while (!createClaim(file, text, MODE)) await removeLeft(folder, file, wait)
  const isOwn = () => look(file)?.text === text
  const touching = setInterval(() => {
    try {
      if (isOwn()) utimesSync(file, new Date(), new Date())
    } catch {
      // The next one may do. If the folder is lost, writing the results says so.
    }
  }, TOUCH_EVERY_MS)
  touching.unref()
  return {
    assertHeld: () => {
      if (!isOwn()) throw lost(folder)
    },
    release: () => {
      clearInterval(touching)
      if (isOwn()) rmSync(file, { force: true })
    },
  }
}

interface Seen {
  text: string
  touchedMs: number
}

/** @returns undefined if there is none. The file is opened, which makes a file server tell its times anew. */
function look(file: string): Seen | undefined {
  try {
    const opened = openSync(file, 'r')
    try {
      return { touchedMs: fstatSync(opened).mtimeMs, text: readFileSync(opened, 'utf8') }
    } finally {
      closeSync(opened)
    }
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined
    throw thrown
  }
}

/** Removes the file if its owner is gone. @throws ScissionError badRequest if it is not. */
async function removeLeft(folder: string, file: string, wait: LockWait): Promise<void> {
  const seen = look(file)
  if (!seen) return
  const owner = checkJson(Owner, seen.text).value
  const who = owner ? `process ${owner.pid} on ${owner.host}` : 'a process that its file does not name'
  if (owner?.space === PROCESS_SPACE) {
    if (isRunning(owner)) throw inUse(folder, who, owner)
  } else {
    wait.say?.(`${folder} may be in use by ${who}: waiting for a sign of it`)
    const end = await watch(file, seen, wait)
    if (end === 'touched') throw inUse(folder, who, owner)
    if (end === 'another') return
  }
  if (discardClaim(file, seen.text)) wait.say?.(`${who} is gone, and its lock of ${folder} is taken over`)
}

/** @returns what became of the lock first. @throws the reason of the signal. */
async function watch(
  file: string,
  seen: Seen,
  { signal, untouchedMs = UNTOUCHED_MS }: LockWait,
): Promise<'touched' | 'another' | 'nothing'> {
  const until = performance.now() + untouchedMs
  while (performance.now() < until) {
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => signal?.throwIfAborted())
    const now = look(file)
    if (now?.text !== seen.text) return 'another'
    if (now.touchedMs !== seen.touchedMs) return 'touched'
  }
  return 'nothing'
}

function inUse(folder: string, who: string, owner: z.infer<typeof Owner> | undefined): ScissionError {
  const since = owner ? ` since ${owner.startedAt}` : ''
  const details = { folder, ...(owner && { pid: owner.pid, host: owner.host, since: owner.startedAt }) }
  return new ScissionError(
    'badRequest',
    `output: ${folder} is in use by ${who}, which has run an experiment there${since}: wait for its end, stop it, or give ` +
      'another folder',
    details,
  )
}

const lost = (folder: string) =>
  new ScissionError(
    'conflict',
    `output: the lock of ${folder} is gone (${LOCK_FILE}): it was removed, or another process took it over while this one ` +
      'stood still; nothing more is written there',
  )
