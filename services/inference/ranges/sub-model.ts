/** The sub-model of a layer range, a small ONNX file: fetched once, checked against its digest, then kept. */
import { isAbsent, PARTIAL, replaceFile } from '../../../shared/platform/atomic-file.ts'
import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import { ScissionError } from '../../../shared/platform/errors.ts'

export interface Digest {
  bytes: number
  sha256: string
}

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
