/**
 * The files of a layer range in the folder of its model: their names, the manifest and the sub-model. The manifest is checked
 * when it arrives, then kept as a file. The presence of the file says that the range is complete on this disk; its mtime says
 * when the range was last used.
 */
import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import { isOwnName, unsafeLocation } from '../../../shared/contracts/file-names.ts'
import { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import {
  isAbsent,
  PARTIAL,
  readIfThere,
  replaceFile,
  writeWhole,
} from '../../../shared/platform/atomic-file.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { readStoredJson } from '../../../shared/platform/outside-input.ts'

/** Layers from..to-1 of a model with fixed input shapes. */
export interface RangeKey {
  model: ModelId
  shapesKey: ShapesKey
  from: number
  to: number
}

/** `<shapesKey>.<from>-<to>`: the name, without extension, of the range's files in the folder of its model. */
export function rangeName({ shapesKey, from, to }: Omit<RangeKey, 'model'>): string {
  return `${shapesKey}.${from}-${to}`
}

/** `<model>.<shapesKey>.<from>-<to>`: unique across models. */
export function keyText(key: RangeKey): string {
  return `${key.model}.${rangeName(key)}`
}

/** A key becomes part of paths and URLs, so it is checked first. @throws ScissionError badRequest or invalidRange. */
export function checkKey({ model, shapesKey, from, to }: RangeKey): void {
  if (!ModelId.safeParse(model).success || !ShapesKey.safeParse(shapesKey).success) {
    throw new ScissionError('badRequest', `"${model}" with shapes "${shapesKey}" does not name a model`)
  }
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to < from) {
    throw new ScissionError('invalidRange', `[${from},${to}) is not a layer range: 0 ≤ from ≤ to`, {
      from,
      to,
    })
  }
}

/** A whole chunk is held in memory while it is verified. */
const MAX_CHUNK_BYTES = 64 * 1024 * 1024

/**
 * Checks a manifest that came over the network: it names files that will be written here.
 * @throws ScissionError peerUnavailable for paths outside the model's folder and for impossible chunks.
 */
export function checkManifest(manifest: RangeManifest): void {
  const fault = faultIn(manifest)
  if (fault === undefined) return
  throw new ScissionError('peerUnavailable', `the benchmark service's manifest is refused: ${fault}`, {
    resource: 'benchmark service',
  })
}

function faultIn({ weights }: RangeManifest): string | undefined {
  for (const { path: file, bytes, chunkBytes, chunks } of weights) {
    if (!isInside(file)) return `it names the weight file ${JSON.stringify(file)}`
    if (chunkBytes > MAX_CHUNK_BYTES) return `its chunks are of ${chunkBytes} bytes each`
    const past = chunks.find(({ index }) => index * chunkBytes >= bytes)
    if (past) return `it names chunk ${past.index} of ${file}, past its end`
  }
  return undefined
}

/** True for a relative, normalised path below the folder that is not a name which the store itself uses. */
function isInside(file: string): boolean {
  return unsafeLocation(file) === undefined && path.posix.normalize(file) === file && !isOwnName(file)
}

const StoredManifest = RangeManifest.refine((manifest) => !faultIn(manifest), 'impossible files or chunks')

/** The manifest in `file`; undefined if there is none, or if it is damaged: then the range is fetched again. */
export function readManifest(file: string, log: Logger | undefined): Promise<RangeManifest | undefined> {
  return readStoredJson(StoredManifest, file, log)
}

/** Writes the manifest, or updates the mtime of the file if it holds the same manifest. */
export async function writeManifest(file: string, manifest: RangeManifest): Promise<void> {
  const text = JSON.stringify(manifest)
  if ((await readIfThere(file)) !== text) return writeWhole(file, text)
  const now = new Date()
  await fs.utimes(file, now, now)
}

/** Length and digest of a sub-model. */
type Digest = NonNullable<RangeManifest['onnx']>

/** True if the file exists and has the expected length and digest. */
export async function isComplete(target: string, expected: Digest): Promise<boolean> {
  let file: fs.FileHandle
  try {
    file = await fs.open(target, 'r')
  } catch (thrown) {
    if (isAbsent(thrown)) return false
    throw thrown
  }
  try {
    if ((await file.stat()).size !== expected.bytes) return false
    const hash = createHash('sha256')
    for await (const part of file.createReadStream({ autoClose: false })) hash.update(part as Buffer)
    return hash.digest('hex') === expected.sha256
  } finally {
    await file.close()
  }
}

/**
 * Writes the streamed parts to `target`.
 * @throws ScissionError peerUnavailable if they do not have the expected length and digest; `target` is then unchanged.
 */
export async function saveSubModel(
  target: string,
  parts: AsyncIterable<Buffer>,
  expected: Digest,
): Promise<void> {
  await replaceFile(target, (partial) => writeChecked(partial, parts, expected), target + PARTIAL)
}

async function writeChecked(path: string, parts: AsyncIterable<Buffer>, expected: Digest): Promise<void> {
  const hash = createHash('sha256')
  let bytes = 0
  const file = await fs.open(path, 'w')
  try {
    for await (const part of parts) {
      bytes += part.length
      if (bytes > expected.bytes) break
      hash.update(part)
      await file.writeFile(part)
    }
    await file.datasync()
  } finally {
    await file.close()
  }
  const sha256 = hash.digest('hex')
  if (bytes === expected.bytes && sha256 === expected.sha256) return
  throw new ScissionError(
    'peerUnavailable',
    `the benchmark service sent a wrong sub-model: ${bytes} bytes with SHA-256 ${sha256}, ` +
      `expected ${expected.bytes} bytes with ${expected.sha256}`,
    { resource: 'benchmark service' },
  )
}
