/**
 * Recognises files of other formats. An ONNX file has no magic number, so a file of another format would end in an error
 * about wire types; the common mistakes are recognised by their first bytes.
 */
import { ScissionError } from '../../platform/errors.ts'
import type { WireFile } from './file-reader.ts'

interface KnownFormat {
  /** Offset of the mark. */
  at: number
  mark: string
  message: string
}

const KNOWN: readonly KnownFormat[] = [
  {
    at: 0,
    mark: 'version https://git-lfs.github.com/spec',
    message:
      'this is a Git LFS pointer, not the model itself: fetch the file with "git lfs pull" and upload that',
  },
  {
    at: 0,
    mark: 'PK\x03\x04',
    message: 'this is a zip archive (a PyTorch or Keras file?): export the model to ONNX',
  },
  { at: 0, mark: '\x89HDF', message: 'this is an HDF5 file (Keras?): convert it with tf2onnx' },
  { at: 0, mark: '\x1f\x8b', message: 'this is a gzip file: unpack it first' },
  { at: 4, mark: 'TFL3', message: 'this is a TensorFlow Lite model: convert it with tf2onnx' },
  { at: 4, mark: 'ORTM', message: 'this is an ORT-format model: upload the .onnx file it was made from' },
  { at: 0, mark: '\x80\x02', message: 'this is a Python pickle (PyTorch?): export the model to ONNX' },
  { at: 0, mark: '<!DOCTYPE', message: 'this is a web page, not a model' },
  { at: 0, mark: '<html', message: 'this is a web page, not a model' },
  { at: 0, mark: '{', message: 'this is JSON text, not a model' },
]

/** @throws ScissionError invalidModel for an empty file and for the formats above. */
export function refuseOtherFormats(wire: WireFile): void {
  if (wire.size === 0) throw new ScissionError('invalidModel', 'the file is empty')
  const head = Buffer.from(wire.bytes(0, Math.min(64, wire.size))).toString('latin1')
  for (const format of KNOWN) {
    if (head.startsWith(format.mark, format.at))
      throw new ScissionError('invalidModel', `not an ONNX model: ${format.message}`)
  }
}
