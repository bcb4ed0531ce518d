/** Streams multipart/form-data from files: external data can be larger than memory. */
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'

export interface MultipartFile {
  /** Name of the form field. */
  field: string
  /** File name in the form; for external data, the location in the model. */
  location: string
  /** Path on this machine. */
  file: string
}

/**
 * Makes a request body of files.
 * @returns the body and its headers, the exact length included.
 * @throws the file system's error if a file cannot be read.
 * @example
 * const { stream, headers } = await multipartOf([{ field: 'model', location: 'model.onnx', file: 'bert.onnx' }])
 */
export async function multipartOf(
  files: readonly MultipartFile[],
): Promise<{ stream: Readable; headers: Record<string, string> }> {
  const boundary = `scission-${randomBytes(12).toString('hex')}`
  const heads = files.map(
    (part) =>
      `--${boundary}\r\nContent-Disposition: form-data; name="${part.field}"; filename="${part.location.replaceAll('"', '%22')}"\r\n` +
      'Content-Type: application/octet-stream\r\n\r\n',
  )
  const tail = `--${boundary}--\r\n`
  const sizes = await Promise.all(files.map(async (part) => (await stat(part.file)).size))
  const total = sizes.reduce(
    (sum, size, index) => sum + Buffer.byteLength(heads[index] ?? '') + size + 2,
    Buffer.byteLength(tail),
  )
  async function* body() {
    for (const [index, part] of files.entries()) {
      yield Buffer.from(heads[index] ?? '')
      yield* createReadStream(part.file) as AsyncIterable<Buffer>
      yield Buffer.from('\r\n')
    }
    yield Buffer.from(tail)
  }
  const headers = {
    'Content-Type': `multipart/form-data; boundary=${boundary}`,
    'Content-Length': String(total),
  }
  return { stream: Readable.from(body(), { objectMode: false }), headers }
}
