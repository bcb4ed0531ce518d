/**
 * Receives an upload into a folder of its own: the raw bytes of one ONNX file, or multipart/form-data with the field
 * `model` and one part per external data file, whose file name is the location that the model names. The request is never
 * destroyed here, because a request that is refused half-way still needs an answer.
 */
import type { IncomingMessage } from 'node:http'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Busboy } from '@fastify/busboy'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { ByteBudget, type Digested, tooLarge, writeDigested } from './write-digested.ts'
import { MODEL_FILE, safeLocation } from './file-names.ts'

export interface ReceivedFile extends Digested {
  /** Path relative to the folder. */
  path: string
}

/** ms without a byte after which an upload is given up, which frees its connection and its folder. */
const IDLE_MS = 60_000
/** Allowance for the part headers of a form, in addition to the limit for its content. */
const FORM_OVERHEAD_BYTES = 256 * 1024
const MAX_PARTS = 1000

/**
 * @returns the files; the first is the model.
 * @throws ScissionError payloadTooLarge (if Content-Length says so, before a byte is read), badRequest, unsupportedEncoding.
 */
export async function receiveUpload(
  req: IncomingMessage,
  folder: string,
  limitBytes: number,
): Promise<ReceivedFile[]> {
  const form = /^multipart\/form-data\b/i.test(req.headers['content-type'] ?? '')
  const encoding = req.headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity')
    throw new ScissionError('unsupportedEncoding', `Content-Encoding ${encoding}: send the bytes as they are`)
  const announced = Number(req.headers['content-length'] ?? 0)
  if (announced > limitBytes + (form ? FORM_OVERHEAD_BYTES : 0)) throw tooLarge(limitBytes)
  req.setTimeout(IDLE_MS, () => req.destroy(new Error(`no byte came for ${IDLE_MS} ms`)))
  try {
    const budget = new ByteBudget(limitBytes)
    return form
      ? await receiveForm(req, folder, budget)
      : [await receiveFile(req, MODEL_FILE, folder, budget)]
  } catch (thrown) {
    if (req.complete || !req.destroyed) throw thrown
    const reason = coerceError(thrown).message
    throw new ScissionError('badRequest', `the upload was interrupted: ${reason}`, undefined, thrown)
  } finally {
    req.setTimeout(0)
  }
}

async function receiveFile(
  source: Readable,
  location: string,
  folder: string,
  budget: ByteBudget,
): Promise<ReceivedFile> {
  const file = path.join(folder, location)
  await mkdir(path.dirname(file), { recursive: true })
  const digested = await writeDigested(source.iterator({ destroyOnReturn: false }), file, budget)
  return { path: location, ...digested }
}

/** Receives the parts one after another; the first error ends the whole upload. */
async function receiveForm(
  req: IncomingMessage,
  folder: string,
  budget: ByteBudget,
): Promise<ReceivedFile[]> {
  const parser = openParser(req)
  const files = new Map<string, Promise<ReceivedFile>>()
  const streams: Readable[] = []
  const failed = new Promise<never>((_resolve, reject) => {
    const onFile = (field: string, stream: Readable, filename: string | undefined) => {
      streams.push(stream)
      // The parser reports an interrupted body on the part's stream as well as on itself.
      stream.on('error', reject)
      const location = partLocation(field, filename)
      if (files.has(location)) throw new ScissionError('badRequest', `two parts are named ${location}`)
      const received = receiveFile(stream, location, folder, budget)
      received.catch(reject)
      files.set(location, received)
    }
    parser.on('file', (field, stream, filename) => {
      try {
        onFile(field, stream, filename)
      } catch (thrown) {
        stream.resume()
        reject(thrown)
      }
    })
    parser.on('error', (thrown: unknown) => reject(badForm(thrown)))
    parser.on('partsLimit', () => reject(new ScissionError('badRequest', `more than ${MAX_PARTS} parts`)))
  })
  failed.catch(() => undefined)
  try {
    await Promise.race([pipeline(req.iterator({ destroyOnReturn: false }), parser), failed])
    await Promise.race([Promise.all(files.values()), failed])
  } catch (thrown) {
    for (const stream of streams) stream.destroy(coerceError(thrown))
    await Promise.allSettled(files.values())
    throw thrown
  }
  return mainFirst(await Promise.all(files.values()))
}

/** @param fieldBytes maximum size of a field that is not a file. @throws ScissionError badRequest. */
export function openParser(req: IncomingMessage, fieldBytes = 1024): Busboy {
  const contentType = req.headers['content-type'] ?? ''
  try {
    return new Busboy({
      headers: { ...req.headers, 'content-type': contentType },
      // Locations may name folders: `weights/part1.bin`.
      preservePath: true,
      limits: { parts: MAX_PARTS, fieldSize: fieldBytes },
    })
  } catch (thrown) {
    throw badForm(thrown)
  }
}

const badForm = (thrown: unknown) =>
  new ScissionError(
    'badRequest',
    `the form cannot be read: ${coerceError(thrown).message}`,
    undefined,
    thrown,
  )

function partLocation(field: string, filename: string | undefined): string {
  if (field === 'model') return MODEL_FILE
  if (filename === undefined)
    throw new ScissionError('badRequest', `form field "${field}" has no file name; ${FORM_HINT}`)
  return safeLocation(filename)
}

export const FORM_HINT =
  'the field "model" holds the ONNX file, every other field an external data file whose file name is the location the model names'

function mainFirst(files: ReceivedFile[]): ReceivedFile[] {
  const main = files.find((file) => file.path === MODEL_FILE)
  if (!main) throw new ScissionError('badRequest', `the form has no field "model"; ${FORM_HINT}`)
  const rest = files.filter((file) => file !== main)
  return [main, ...rest.sort((a, b) => (a.path < b.path ? -1 : 1))]
}
