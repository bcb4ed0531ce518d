/** What a manifest may say: it comes over the network and names files that are written here. */
import path from 'node:path'
import { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import type { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { RangeKey } from './range-key.ts'
import { PARTIAL } from '../../../shared/platform/atomic-file.ts'

/** A chunk is held in memory while it is verified. */
const LARGEST_CHUNK_BYTES = 64 * 1024 * 1024
const OURS = [/\.chunks$/, new RegExp(`\\${PARTIAL}$`), /^[0-9a-f]{12}\.\d+-\d+\./]

/** @throws ScissionError badRequest or invalidRange: a key becomes part of paths and URLs. */
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

/** @throws ScissionError peerUnavailable for paths outside the model's folder and for chunks that cannot be. */
export function checkManifest(manifest: RangeManifest): void {
  for (const weights of manifest.weights) {
    if (!isInside(weights.path)) throw refused(`it names the weight file ${JSON.stringify(weights.path)}`)
    if (weights.chunkBytes > LARGEST_CHUNK_BYTES)
      throw refused(`its chunks are of ${weights.chunkBytes} bytes each`)
    for (const { index } of weights.chunks) {
      if (index * weights.chunkBytes >= weights.bytes)
        throw refused(`it names chunk ${index} of ${weights.path}, past its end`)
    }
  }
}

/** Relative, in its shortest form, below the folder, and none of the names that the store itself uses. */
export function isInside(file: string): boolean {
  const plain = file !== '' && !/[\\\0]/.test(file) && !path.posix.isAbsolute(file) && !/^[a-z]:/i.test(file)
  const below = path.posix.normalize(file) === file && file !== '.' && file.split('/')[0] !== '..'
  return plain && below && !OURS.some((pattern) => pattern.test(path.posix.basename(file)))
}

function refused(what: string): ScissionError {
  return new ScissionError('peerUnavailable', `the benchmark service's manifest is refused: ${what}`, {
    resource: 'benchmark service',
  })
}
