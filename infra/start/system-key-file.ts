/** The file with the key of a system, made when it is first needed: only its owner may read it. */
import { readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { newSystemKey, SystemKey } from '../../shared/platform/access/system-key.ts'
import { readSecretFile } from '../../shared/platform/access/secret-file.ts'
import { isAbsent } from '../../shared/platform/atomic-file.ts'
import { createClaim, discardClaim } from '../../shared/platform/claim-file.ts'
import { ScissionError } from '../../shared/platform/errors.ts'

/** Read and written by its owner alone. */
const MODE = 0o600

export const keyPathIn = (dataDir: string): string => path.join(dataDir, 'system.key')

/** Who makes the file writes it at once: one that is empty for so long was left by a crash. */
const EMPTY_MS = 10_000
const LOOK_MS = 50

/** @returns the file in the data folder of a system, which is made if it is not there, or was left empty by a crash. */
export function keyFileIn(dataDir: string): string {
  const file = keyPathIn(dataDir)
  while (!isThere(file)) {
    if (createClaim(file, `${newSystemKey()}\n`, MODE)) return file
    const madeMs = statSync(file, { throwIfNoEntry: false })?.mtimeMs
    if (madeMs !== undefined && Math.abs(Date.now() - madeMs) > EMPTY_MS) discardClaim(file, '')
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MS)
  }
  SystemKey.read(readSecretFile(file, file), file)
  return file
}

/** @throws ScissionError conflict if there is such a file: services may use what is in it. */
export function writeNewKeyFile(file: string): void {
  if (createClaim(file, `${newSystemKey()}\n`, MODE)) return
  throw new ScissionError(
    'conflict',
    `${file} is there already: services may use the key in it; name another file`,
  )
}

/** @throws the file system's error. */
export function writeSecretFile(file: string, text: string): void {
  if (createClaim(file, `${text}\n`, MODE)) return
  throw new ScissionError('conflict', `${file} is there already: name another file`)
}

const PUBLIC_MODE = 0o644

/** @throws as writeSecretFile. */
export function writePublicFile(file: string, text: string): void {
  if (createClaim(file, text.endsWith('\n') ? text : `${text}\n`, PUBLIC_MODE)) return
  throw new ScissionError('conflict', `${file} is there already: name another file`)
}

function isThere(file: string): boolean {
  try {
    return readFileSync(file).length > 0
  } catch (thrown) {
    if (isAbsent(thrown)) return false
    throw thrown
  }
}
