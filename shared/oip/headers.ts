/** The header of the binary tensor data extension: how many bytes of a body are JSON. */
import { ScissionError } from '../platform/errors.ts'

/** Lower case, as Node keeps header names. */
export const JSON_LENGTH_HEADER = 'inference-header-content-length'

/**
 * @returns undefined when the whole body is JSON.
 * @param bodyBytes when already known; else check again with `checkJsonLength` once the body is here.
 * @throws ScissionError badRequest.
 */
export function readJsonLength(header: string | undefined, bodyBytes?: number): number | undefined {
  if (header === undefined) return undefined
  const length = /^\d{1,15}$/.test(header.trim()) ? Number(header) : Number.NaN
  if (Number.isNaN(length)) {
    throw new ScissionError('badRequest', `Unable to parse Inference-Header-Content-Length, got: ${header}`)
  }
  if (bodyBytes !== undefined) checkJsonLength(length, bodyBytes)
  return length
}

/** @throws ScissionError badRequest when the JSON part would be longer than the body. */
export function checkJsonLength(length: number, bodyBytes: number): void {
  if (length <= bodyBytes) return
  throw new ScissionError(
    'badRequest',
    `inference header size should be in range (0, ${bodyBytes}), got: ${length}`,
  )
}
