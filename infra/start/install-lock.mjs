/**
 * The lock of an install: one process at a time changes node_modules. It is a file beside node_modules (`npm ci`
 * empties that folder) with the host and the process ids of its owner and of npm, which its owner touches every second.
 *
 *   absent ──acquire──▶ held ──release──▶ absent
 *                        └── owner gone: taken over by one of those who wait, as `brokenOff`
 *
 * An owner on this host is gone if its process and npm's are; one on another host (a folder shared with a container) if
 * the file was not touched for a while. A killed install leaves the file, which so tells that it was broken off.
 */
import { existsSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const LOCK = '.installing'
const TOUCH_EVERY_MS = 1000
/** Nobody waits in silence. */
const SAY_EVERY_MS = 2000
const LOOK_EVERY_MS = 200
/** By the watcher's own clock. The id of a process that is gone may be another's by then. */
const UNTOUCHED_MS = 30_000

/**
 * @typedef {object} InstallLock
 * @property {boolean} brokenOff whether the owner before was killed.
 * @property {(pid: number) => void} noteNpm npm goes on when its parent is killed: it owns the lock as well.
 * @property {() => void} release
 */

/** @param {string} root @returns {boolean} whether an install is under way, or was broken off. */
export const isInstallLocked = (root) => existsSync(path.join(root, LOCK))

/**
 * Waits for its turn.
 * @param {string} root
 * @returns {Promise<InstallLock>}
 * @throws what keeps the file from being written.
 */
export async function acquireInstallLock(root) {
  const file = path.join(root, LOCK)
  let watched = { content: '', touchedMs: 0, since: performance.now() }
  let saidAt = Number.NEGATIVE_INFINITY
  for (;;) {
    if (create(file)) return hold(file, false)
    const seen = look(file)
    if (seen === undefined) continue
    if (seen.content !== watched.content || seen.touchedMs !== watched.touchedMs)
      watched = { ...seen, since: performance.now() }
    const untouched = performance.now() - watched.since > UNTOUCHED_MS
    if ((untouched || ownerIsGone(seen.content)) && takeOver(file, seen.content)) return hold(file, true)
    if (performance.now() - saidAt >= SAY_EVERY_MS) {
      console.error('another process is installing packages: waiting for it')
      saidAt = performance.now()
    }
    await sleep(LOOK_EVERY_MS)
  }
}

/** @returns {InstallLock} */
function hold(file, brokenOff) {
  const timer = setInterval(() => {
    try {
      utimesSync(file, new Date(), new Date())
    } catch {
      // Removed by hand: the install goes on, and others may begin one.
      clearInterval(timer)
    }
  }, TOUCH_EVERY_MS)
  timer.unref()
  return {
    brokenOff,
    noteNpm: (pid) => writeFileSync(file, `${owner()} ${pid}`),
    release: () => {
      clearInterval(timer)
      if (`${look(file)?.content} `.startsWith(`${owner()} `)) rmSync(file, { force: true })
    },
  }
}

const owner = () => `${os.hostname()} ${process.pid}`

/** @returns {boolean} false if there is one already. */
function create(file) {
  try {
    writeFileSync(file, owner(), { flag: 'wx' })
    return true
  } catch (thrown) {
    if (thrown.code === 'EEXIST') return false
    throw thrown
  }
}

/** @returns {{ content: string, touchedMs: number } | undefined} undefined if there is none. */
function look(file) {
  try {
    return { content: readFileSync(file, 'utf8'), touchedMs: statSync(file).mtimeMs }
  } catch (thrown) {
    if (thrown.code === 'ENOENT') return undefined
    throw thrown
  }
}

/** @param content of a lock; empty while its owner is about to write it. */
function ownerIsGone(content) {
  const [host, ...pids] = content.split(' ')
  return host === os.hostname() && pids.length > 0 && !pids.some((pid) => isAlive(Number(pid)))
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (thrown) {
    // EPERM: it is there, and another user's.
    return thrown.code !== 'ESRCH'
  }
}

/**
 * Only one of those that wait may: the file beside the lock is made by one, which looks again and renames it.
 * @param content of the lock whose owner is gone.
 * @returns {boolean} whether this process has the lock now.
 */
function takeOver(file, content) {
  const turn = `${file}-turn`
  if (!create(turn)) {
    // A turn takes a millisecond: one that old was left by a process that was killed in it.
    if (Date.now() - (look(turn)?.touchedMs ?? Infinity) > UNTOUCHED_MS) rmSync(turn, { force: true })
    return false
  }
  if (look(file)?.content === content) {
    renameSync(turn, file)
    return true
  }
  rmSync(turn)
  return false
}
