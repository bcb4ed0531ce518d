/** Secrets in files: nobody but their owner may be able to read them. */
import { readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { coerceError, ScissionError } from '../errors.ts'

/** Others than the owner: group and world. */
const OTHERS = 0o077
const MAX_BYTES = 64 * 1024

/**
 * @param setting names, in errors, the variable that names the file.
 * @returns the text, without blanks around it.
 * @throws ScissionError badRequest if it cannot be read, is too long, or may be read by others than its owner.
 */
export function readSecretFile(file: string, setting: string): string {
  try {
    const { mode, size } = statSync(file)
    const isOpen = process.platform !== 'win32' && (mode & OTHERS) !== 0
    if (isOpen && !isShut(path.dirname(path.resolve(file))))
      throw new ScissionError(
        'badRequest',
        `${setting}: ${file} can be read or written by others than its owner: chmod 600 ${file}`,
      )
    if (size > MAX_BYTES)
      throw new ScissionError('badRequest', `${setting}: ${file} is longer than any secret (${size} bytes)`)
    return readFileSync(file, 'utf8').trim()
  } catch (thrown) {
    if (thrown instanceof ScissionError) throw thrown
    const { message } = coerceError(thrown)
    throw new ScissionError('badRequest', `${setting}: ${file} cannot be read: ${message}`, undefined, thrown)
  }
}

/** Where Docker and Kubernetes mount secrets, readable for all: nobody else is in the container to read them. */
const MOUNTED = /^\/(var\/)?run\/secrets(\/|$)/

/** Whether others cannot reach what is in a folder. */
const isShut = (folder: string): boolean => MOUNTED.test(folder) || (statSync(folder).mode & OTHERS) === 0
