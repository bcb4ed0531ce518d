/** The small ONNX file of a layer range: fetched once, checked against its digest, then kept. */
import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { PARTIAL, replaceFile } from '../../../shared/platform/atomic-file.ts'

export interface Digest {
  bytes: number
  sha256: string
}

/** True when the file is there and is what `expected` says. */
export async function isComplete(target: string, expected: Digest): Promise<boolean> {
  let file: fs.FileHandle
  try {
    file = await fs.open(target, 'r')
  } catch (thrown) {
    const error = coerceError(thrown)
    if ('code' in error && error.code === 'ENOENT') return false
    throw error
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

/** @throws ScissionError peerUnavailable when the bytes are not those of `expected`; the target is then untouched. */
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
