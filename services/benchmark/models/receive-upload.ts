/**
 * Receives an upload into a folder of its own: the raw bytes of one ONNX file, or multipart/form-data with the field
 * `model` and one part per external data file, whose file name is the location that the model names; parts called `samples`
 * hold values for the model's inputs.
 */
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CHUNK_BYTES } from '../../../shared/contracts/range-manifest.ts'
import type { Grant } from '../../../shared/platform/access/holdings.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { ByteBudget, isForm, readForm } from '../read-form.ts'
import type { SampleFile } from '../samples/read-samples.ts'
import { SampleParts, SAMPLES_FIELD } from '../samples/receive-samples.ts'
import { MODEL_FILE, safeLocation } from './model-store.ts'

interface Digested {
  bytes: number
  /** SHA-256 of the file, in hexadecimal: it identifies the file. */
  sha256: string
  /**
   * SHA-256 of every CHUNK_BYTES of the file; the last chunk may be shorter. A resource checks them when it fetches only the
   * weights it needs.
   */
  chunks: string[]
}

export interface ReceivedFile extends Digested {
  /** Path relative to the folder. */
  path: string
}

/** Allowance for the headers of each part of a form, in addition to the limit for its content. */
const PART_HEADER_BYTES = 1024

export interface Upload {
  /** The first is the model. */
  files: ReceivedFile[]
  samples: SampleFile[]
}

export interface UploadLimits {
  maxModelBytes: number
  /** The model itself, its external data and its samples. */
  maxFiles: number
  maxSampleBytes: number
  /** Of who uploads. */
  grant: Pick<Grant, 'bytes' | 'tooManyBytes'>
}

/** @throws ScissionError tooManyRequests, payloadTooLarge (if Content-Length says so, before a byte is read), badRequest, unsupportedEncoding. */
export async function receiveUpload(
  req: IncomingMessage,
  folder: string,
  { maxModelBytes: limitBytes, maxFiles, maxSampleBytes, grant }: UploadLimits,
): Promise<Upload> {
  const form = isForm(req)
  const encoding = req.headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity')
    throw new ScissionError('unsupportedEncoding', `Content-Encoding ${encoding}: send the bytes as they are`)
  const announced = Number(req.headers['content-length'] ?? 0)
  if (announced > limitBytes + (form ? maxSampleBytes + maxFiles * PART_HEADER_BYTES : 0))
    throw tooLarge(limitBytes)
  try {
    const budget =
      grant.bytes < limitBytes
        ? new ByteBudget(grant.bytes, grant.tooManyBytes)
        : new ByteBudget(limitBytes, () => tooLarge(limitBytes))
    return form
      ? await receiveForm(req, folder, budget, { maxFiles, maxSampleBytes })
      : { files: [await receiveFile(req, MODEL_FILE, folder, budget)], samples: [] }
  } catch (thrown) {
    if (req.complete || !req.destroyed) throw thrown
    const reason = coerceError(thrown).message
    throw new ScissionError('badRequest', `the upload was interrupted: ${reason}`, undefined, thrown)
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

async function receiveForm(
  req: IncomingMessage,
  folder: string,
  budget: ByteBudget,
  { maxFiles, maxSampleBytes }: Pick<UploadLimits, 'maxFiles' | 'maxSampleBytes'>,
): Promise<Upload> {
  const locations = new Locations()
  const samples = new SampleParts(maxSampleBytes)
  const parts = await readForm<ReceivedFile | undefined>(req, {
    fieldBytes: samples.textBytes,
    parts: { max: maxFiles, setBy: 'SCISSION_MAX_MODEL_FILES' },
    onField: async (field, text, cut) => {
      if (field === SAMPLES_FIELD) samples.addText(text, cut)
      return undefined
    },
    onFile: async (field, content, filename) => {
      if (field === SAMPLES_FIELD) {
        await samples.addFile(content, filename)
        return undefined
      }
      const location = partLocation(field, filename)
      locations.add(location)
      return receiveFile(content, location, folder, budget)
    },
  })
  return { files: mainFirst(parts.filter((part) => part !== undefined)), samples: samples.files }
}

/** The names of the files of one form. */
class Locations {
  readonly #files = new Set<string>()
  readonly #folders = new Set<string>()

  /** @throws ScissionError badRequest if it was there, or if it or another one would be a folder and a file. */
  add(location: string): void {
    if (this.#files.has(location)) throw new ScissionError('badRequest', `two parts are named ${location}`)
    const segments = location.split('/')
    const folders = segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'))
    const both = this.#folders.has(location) ? location : folders.find((folder) => this.#files.has(folder))
    if (both !== undefined)
      throw new ScissionError(
        'badRequest',
        `one part is named ${both}, and another one lies in a folder of that name`,
      )
    this.#files.add(location)
    for (const folder of folders) this.#folders.add(folder)
  }
}

function partLocation(field: string, filename: string | undefined): string {
  if (field === 'model') return MODEL_FILE
  if (filename === undefined)
    throw new ScissionError('badRequest', `form field "${field}" has no file name; ${FORM_HINT}`)
  return safeLocation(filename)
}

export const FORM_HINT =
  'the field "model" holds the ONNX file, "samples" values for its inputs (.npz, .npy named like its input, or JSON), ' +
  'every other field an external data file whose file name is the location the model names'

function mainFirst(files: ReceivedFile[]): ReceivedFile[] {
  const main = files.find((file) => file.path === MODEL_FILE)
  if (!main) throw new ScissionError('badRequest', `the form has no field "model"; ${FORM_HINT}`)
  const rest = files.filter((file) => file !== main)
  return [main, ...rest.sort((a, b) => (a.path < b.path ? -1 : 1))]
}

const tooLarge = (limit: number) =>
  new ScissionError(
    'payloadTooLarge',
    `the model is larger than the limit of ${limit} bytes; it is set by SCISSION_MAX_MODEL_BYTES`,
    { limitBytes: limit },
  )

/**
 * Writes a stream to a file and digests it at the same time, so that an upload of any size passes through memory once.
 * @param source is read to its end or to the first error. The caller destroys it.
 * @throws ScissionError payloadTooLarge; internal if the disk is full; the error that `source` throws.
 */
export async function writeDigested(
  source: AsyncIterable<Uint8Array>,
  file: string,
  budget: ByteBudget,
): Promise<Digested> {
  const whole = createHash('sha256')
  const chunks: string[] = []
  let chunk = createHash('sha256')
  let filled = 0
  const endChunk = () => {
    chunks.push(chunk.digest('hex'))
    chunk = createHash('sha256')
    filled = 0
  }
  let bytes = 0
  async function* measured() {
    for await (const part of source) {
      bytes += part.length
      budget.spend(part.length)
      whole.update(part)
      for (let at = 0; at < part.length; ) {
        const piece = part.subarray(at, at + CHUNK_BYTES - filled)
        chunk.update(piece)
        filled += piece.length
        at += piece.length
        if (filled === CHUNK_BYTES) endChunk()
      }
      yield part
    }
  }
  try {
    // Flushed to disk: next the folder is renamed into place, and from then on its digests are trusted.
    await pipeline(measured, createWriteStream(file, { flush: true }))
  } catch (thrown) {
    throw diskError(thrown)
  }
  if (filled > 0) endChunk()
  return { bytes, sha256: whole.digest('hex'), chunks }
}

function diskError(thrown: unknown): unknown {
  const error = coerceError(thrown)
  const code = 'code' in error ? error.code : undefined
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return thrown
  return new ScissionError(
    'internal',
    'the disk of the benchmark service is full: nothing was stored; free space under SCISSION_DATA and upload again',
    undefined,
    error,
  )
}
