/** A folder of its own for the files of a test. */
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { startedOnce } from './started.ts'

/** One for all tests of the file or group in which it is called; it is removed after them. */
export const withFolder = (name: string): (() => string) =>
  startedOnce(
    () => mkdtemp(path.join(os.tmpdir(), `scission-${name}-`)),
    (folder) => rm(folder, { recursive: true, force: true }),
  )
