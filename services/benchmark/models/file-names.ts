/** Checks the names of external data files before they become paths, because they come from clients. */
import path from 'node:path'
import { ScissionError } from '../../../shared/platform/errors.ts'

/** Name of the main file in a model's folder. */
export const MODEL_FILE = 'model.onnx'

/** Names that the store itself uses in a model's folder; see model-store.ts. */
const RESERVED = /^(model\.onnx|model\.json|chunks\.json|[0-9a-f]{12}\..*)$/i
const MAX_LENGTH = 512

/**
 * Normalises a location to a relative path with forward slashes.
 * @throws ScissionError badRequest if it is empty, absolute, outside of the folder, or a name that the store uses.
 */
export function safeLocation(location: string): string {
  const refuse = (reason: string): never => {
    throw new ScissionError('badRequest', `external data file name ${JSON.stringify(location)} ${reason}`, {
      location,
    })
  }
  if (location.length === 0 || location.length > MAX_LENGTH) refuse(`must have 1 to ${MAX_LENGTH} characters`)
  // oxlint-disable-next-line no-control-regex -- control characters are exactly what is refused here
  if (/[\u0000-\u001f\\:]/.test(location)) refuse('must not contain "\\", ":" or control characters')
  if (path.posix.isAbsolute(location)) refuse('must be relative to the model’s folder')
  const clean = path.posix.normalize(location)
  if (clean === '.' || clean.endsWith('/') || clean.split('/').includes('..'))
    refuse('must name a file inside the model’s folder')
  if (RESERVED.test(clean)) refuse('is a name that Scission itself uses in a model’s folder; rename the file')
  return clean
}
