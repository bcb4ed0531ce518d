/**
 * The manifest of a layer range: checked when it arrives, then kept as a file. The presence of the file says that the
 * range is complete on this disk; its mtime says when the range was last used.
 */
import path from 'node:path'
import { readIfThere, PARTIAL, writeWhole } from '../../../shared/platform/atomic-file.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import fs from 'node:fs/promises'
import { RangeManifest } from '../../../shared/contracts/range-manifest.ts'

/** A whole chunk is held in memory while it is verified. */
const MAX_CHUNK_BYTES = 64 * 1024 * 1024
/** Names of files that the store writes beside the weight files. */
const RESERVED_NAMES = [/\.chunks$/, new RegExp(`\\${PARTIAL}$`), /^[0-9a-f]{12}\.\d+-\d+\./]

/**
 * Checks a manifest that came over the network: it names files that will be written here.
 * @throws ScissionError peerUnavailable for paths outside the model's folder and for impossible chunks.
 */
export function checkManifest(manifest: RangeManifest): void {
  for (const weights of manifest.weights) {
    if (!isInside(weights.path)) throw refused(`it names the weight file ${JSON.stringify(weights.path)}`)
    if (weights.chunkBytes > MAX_CHUNK_BYTES)
      throw refused(`its chunks are of ${weights.chunkBytes} bytes each`)
    for (const { index } of weights.chunks) {
      if (index * weights.chunkBytes >= weights.bytes)
        throw refused(`it names chunk ${index} of ${weights.path}, past its end`)
    }
  }
}

/** True for a relative, normalised path below the folder that is not a name which the store itself uses. */
function isInside(file: string): boolean {
  const plain = file !== '' && !/[\\\0]/.test(file) && !path.posix.isAbsolute(file) && !/^[a-z]:/i.test(file)
  const below = path.posix.normalize(file) === file && file !== '.' && file.split('/')[0] !== '..'
  return plain && below && !RESERVED_NAMES.some((pattern) => pattern.test(path.posix.basename(file)))
}

function refused(what: string): ScissionError {
  return new ScissionError('peerUnavailable', `the benchmark service's manifest is refused: ${what}`, {
    resource: 'benchmark service',
  })
}

/** The manifest in `file`; undefined if there is none that this version can read. */
export async function readManifest(file: string): Promise<RangeManifest | undefined> {
  const text = await readIfThere(file)
  if (text === undefined) return undefined
  try {
    return RangeManifest.parse(JSON.parse(text))
  } catch {
    return undefined // Written by another version, or damaged: the range is fetched again.
  }
}

/** Writes the manifest, or updates the mtime of the file if it holds the same manifest. */
export async function writeManifest(file: string, manifest: RangeManifest): Promise<void> {
  const text = JSON.stringify(manifest)
  if ((await readIfThere(file)) !== text) return writeWhole(file, text)
  const now = new Date()
  await fs.utimes(file, now, now)
}
