/**
 * Second line of defence against bytes that were never fetched: ONNX Runtime reads the holes of a sparse file as zeros and
 * answers with wrong numbers. So before a sub-model may be opened, everything that it refers to is compared with the chunks
 * that are here, whatever its manifest promises.
 */
import fs from 'node:fs/promises'
import path from 'node:path'
import type { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import {
  type ExternalExtent,
  externalExtents,
  firstMissing,
} from '../../../shared/onnx/wire/external-extents.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { presentChunks } from './sparse-file.ts'

/**
 * The first reference of a sub-model of which a byte is not here; undefined if all are.
 * @param file the sub-model, its weight files beside it.
 * @throws ScissionError invalidModel if the file is no model.
 */
export async function findMissingBytes(
  file: string,
  manifest: RangeManifest,
  log: Logger | undefined,
): Promise<ExternalExtent | undefined> {
  const extents = extentsIn(await fs.readFile(file), file)
  if (extents.length === 0) return undefined
  const files = manifest.weights.map(async (weights) => {
    const present = await presentChunks(path.join(path.dirname(file), weights.path), weights, log)
    // A chunk that only other ranges list may be evicted while this one is open.
    const listed = weights.chunks.map(({ index }) => index).filter((index) => present.has(index))
    return { ...weights, held: new Set(listed) }
  })
  return firstMissing(extents, await Promise.all(files))
}

function extentsIn(subModel: Uint8Array, file: string): ExternalExtent[] {
  try {
    return externalExtents(subModel)
  } catch (thrown) {
    const { message } = coerceError(thrown)
    throw new ScissionError(
      'invalidModel',
      `${file} is not an ONNX model: ${message}`,
      { path: file },
      thrown,
    )
  }
}

/** The refusal of a range: the benchmark service listed too little, because all that it listed has been fetched. */
export function bytesMissing({ model, from, to }: RangeManifest, missing: ExternalExtent): ScissionError {
  const { tensor, path: location, offset, length } = missing
  return new ScissionError(
    'peerUnavailable',
    `layers ${from} to ${to} of model ${model} are not opened: the tensor "${tensor}" is in bytes ${offset} to ` +
      `${offset + length} of ${location}, which the benchmark service's manifest does not list, so that they were not ` +
      'fetched and would be read as zeros. Restart the benchmark service in the version of this one, then load them again',
    { resource: 'benchmark service', ...missing },
  )
}
