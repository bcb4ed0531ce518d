/**
 * A file that one process at a time has, to claim what it stands for. Its text says who. Which text was left by a crash is for
 * the caller to judge: here is how to take its place although several may try at once.
 */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { isAbsent } from './atomic-file.ts'
import { coerceError } from './errors.ts'

/** @param mode who may read and write it. @returns false if there is one already. @throws the file system's error. */
export function createClaim(file: string, text: string, mode: number): boolean {
  try {
    writeFileSync(file, text, { flag: 'wx', mode })
    return true
  } catch (thrown) {
    if ((coerceError(thrown) as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw thrown
  }
}

/** Removing takes a millisecond: a turn that old was left by a process that was killed in it. */
const TURN_MS = 10_000
const WAIT_MS = 5
const TURN_MODE = 0o600

/**
 * Removes the claim that a crash left, if its text is still this one.
 * @returns whether it did: if not, another process has been quicker, or is about to be.
 * @throws the file system's error.
 */
export function discardClaim(file: string, text: string): boolean {
  // Who has the turn looks again: no other removes the claim meanwhile, and nobody replaces one that is there.
  const turn = `${file}.turn`
  if (!createClaim(turn, '', TURN_MODE)) {
    const begunMs = whenThere(() => statSync(turn).mtimeMs)
    // The disk may have another clock.
    if (begunMs !== undefined && Math.abs(Date.now() - begunMs) > TURN_MS) rmSync(turn, { force: true })
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAIT_MS)
    return false
  }
  try {
    const isLeft = whenThere(() => readFileSync(file, 'utf8')) === text
    if (isLeft) rmSync(file)
    return isLeft
  } finally {
    rmSync(turn, { force: true })
  }
}

function whenThere<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined
    throw thrown
  }
}
