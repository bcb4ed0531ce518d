/**
 * Second line of defence against bytes that were never fetched: ONNX Runtime reads the holes of a sparse file as zeros and
 * answers with wrong numbers. So before a sub-model may be opened, everything that it refers to is compared with the chunks
 * that are here, whatever its manifest promises.
 */
import path from 'node:path'
import type { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { type ExternalExtent, firstMissing } from '../../../shared/onnx/wire/external-extents.ts'
import { eachOf } from '../../../shared/platform/each-of.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { presentChunks } from './sparse-file.ts'

/** A model may have thousands of weight files, each with a record. */
const RECORDS_AT_ONCE = 16

/**
 * The first reference of a sub-model of which a byte is not here; undefined if all are.
 * @param extents what it refers to. @param folder that its weight files are in.
 */
export async function findMissingBytes(
  extents: readonly ExternalExtent[],
  folder: string,
  manifest: RangeManifest,
  log: Logger | undefined,
): Promise<ExternalExtent | undefined> {
  if (extents.length === 0) return undefined
  const files = await eachOf(manifest.weights, RECORDS_AT_ONCE, async (weights) => {
    const present = await presentChunks(path.join(folder, weights.path), weights, log)
    // A chunk that only other ranges list may be evicted while this one is open.
    const listed = weights.chunks.map(({ index }) => index).filter((index) => present.has(index))
    return { ...weights, held: new Set(listed) }
  })
  return firstMissing(extents, files)
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
