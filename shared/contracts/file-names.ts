/**
 * Names of external data files, which come from strangers. They are kept as the model has them, because ONNX Runtime finds
 * the files by them: exporters name files after tensors (`onnx::MatMul_0`, `dense/kernel:0`).
 */

/** How names of files begin or end that the services keep beside those of a model for a while. */
export const OWN_MARK = '.scission-'
/** What the services add to a name, for a record or while a file is written, must fit into the 255 bytes of file systems. */
const MAX_SEGMENT_BYTES = 200

/** Files of analyses, layer ranges and samples in a model's folder. */
const OWN_NAME = /^[0-9a-f]{12}\.(canonical\.onnx|structure\.json|samples|\d+-\d+\.)/i

/** True for names that the services give to files of their own in a model's folder. */
export const isOwnName = (location: string): boolean => OWN_NAME.test(location) || location.includes(OWN_MARK)

/**
 * Why a location is no name of a file in the model's folder, on any system; undefined if it is one. Backslashes are
 * separators on Windows, for ONNX Runtime too.
 * @example
 * unsafeLocation('../weights.bin') // "leads out of the model's folder"
 */
export function unsafeLocation(location: string): string | undefined {
  // oxlint-disable-next-line no-control-regex -- control characters are exactly what is refused here
  if (/[\u0000-\u001f\u007f]/.test(location)) return 'contains a control character'
  const segments = location.split('/')
  if (location.startsWith('/') || /^[A-Za-z]:[\\/]/.test(segments.filter((part) => part !== '.').join('/')))
    return 'is an absolute path'
  if (location.includes('\\')) return 'contains a backslash'
  if (segments.includes('..')) return "leads out of the model's folder"
  if (['', '.'].includes(segments.at(-1) ?? '')) return 'is not a file name'
  const long = segments.some((part) => new TextEncoder().encode(part).length > MAX_SEGMENT_BYTES)
  return long ? `has a name in it that is longer than ${MAX_SEGMENT_BYTES} bytes` : undefined
}
