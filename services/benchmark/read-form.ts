/**
 * Reads multipart/form-data, for uploads of models and for calibrations. The request is never destroyed here, because a
 * request that is refused half-way still needs an answer.
 */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Busboy } from '@fastify/busboy'
import pLimit from 'p-limit'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'

/** A limit on the number of parts. */
export interface PartsLimit {
  max: number
  /** How it is set, for the refusal. */
  setBy?: string
}
const PARTS: PartsLimit = { max: 1000 }
/** Parts whose content is consumed at the same time: each may hold an open file. */
const PARTS_AT_ONCE = 64

export interface FormReader<T> {
  /** Consumes the content of a part that is a file, or rejects. */
  onFile: (field: string, content: Readable, filename: string | undefined) => Promise<T>
  /** Takes a field that is not a file; `cut` if it exceeds `fieldBytes`. @defaultValue such fields are ignored */
  onField?: (field: string, value: string, cut: boolean) => Promise<T>
  /** Maximum size of a field that is not a file. @defaultValue 1024 */
  fieldBytes?: number
  /** @defaultValue 1000 parts */
  parts?: PartsLimit
}

/** A limit on the sum of bytes of all parts of a request. */
export class ByteBudget {
  readonly #tooLarge: () => ScissionError
  #left: number

  /** @param tooLarge the error to throw when the limit is exceeded. */
  constructor(limit: number, tooLarge: () => ScissionError) {
    this.#left = limit
    this.#tooLarge = tooLarge
  }

  spend(bytes: number): void {
    this.#left -= bytes
    if (this.#left < 0) throw this.#tooLarge()
  }

  /** Reads a stream into memory. */
  async collect(source: AsyncIterable<Buffer>): Promise<Buffer> {
    const chunks: Buffer[] = []
    for await (const chunk of source) {
      this.spend(chunk.byteLength)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  }
}

export const isForm = (req: IncomingMessage): boolean =>
  /^multipart\/form-data\b/i.test(req.headers['content-type'] ?? '')

/**
 * Reads all parts, several at a time. The first error ends the reading of all.
 * @returns what the reader made of the parts, in their order.
 * @throws ScissionError badRequest; payloadTooLarge for too many parts; what the reader throws; the request's error if it was interrupted.
 */
export async function readForm<T>(req: IncomingMessage, reader: FormReader<T>): Promise<T[]> {
  const { fieldBytes = 1024, parts: limit = PARTS } = reader
  const parser = openParser(req, fieldBytes, limit.max)
  const atOnce = pLimit(PARTS_AT_ONCE)
  const parts: Promise<T>[] = []
  const streams: Readable[] = []
  const failed = new Promise<never>((_resolve, reject) => {
    const add = (part: Promise<T>) => {
      part.catch(reject)
      parts.push(part)
    }
    parser.on('file', (field, stream, filename) => {
      streams.push(stream)
      // The parser reports an interrupted body on the part's stream as well as on itself.
      stream.on('error', reject)
      add(atOnce(() => reader.onFile(unescaped(field), stream, filename && unescaped(filename))))
    })
    parser.on('field', (field, value, _fieldCut, cut) => {
      if (reader.onField) add(reader.onField(field, value, cut))
    })
    parser.on('error', (thrown: unknown) => reject(badForm(thrown)))
    parser.on('partsLimit', () => reject(tooManyParts(limit)))
  })
  failed.catch(() => undefined)
  try {
    await Promise.race([pipeline(req.iterator({ destroyOnReturn: false }), parser), failed])
    return await Promise.race([Promise.all(parts), failed])
  } catch (thrown) {
    for (const stream of streams) stream.destroy(coerceError(thrown))
    await Promise.allSettled(parts)
    throw thrown
  }
}

/** Clients write a quote in the name of a part as %22, and a percent sign as it is (WHATWG, multipart/form-data). */
const unescaped = (name: string): string => name.replaceAll('%22', '"')

function openParser(req: IncomingMessage, fieldSize: number, parts: number): Busboy {
  try {
    return new Busboy({
      headers: { ...req.headers, 'content-type': req.headers['content-type'] ?? '' },
      // File names may have folders: `weights/part1.bin`.
      preservePath: true,
      limits: { parts, fieldSize },
    })
  } catch (thrown) {
    throw badForm(thrown)
  }
}

function tooManyParts({ max, setBy }: PartsLimit): ScissionError {
  const how = setBy ? `; the limit is set by ${setBy}` : ''
  return new ScissionError('payloadTooLarge', `the form has more than ${max} parts${how}`, { limit: max })
}

function badForm(thrown: unknown): ScissionError {
  const message = `the form cannot be read: ${coerceError(thrown).message}`
  return new ScissionError('badRequest', message, undefined, thrown)
}

/** The error of a request whose body could not be read to its end, if its reader threw no other. */
export function interrupted(thrown: unknown): ScissionError {
  if (thrown instanceof ScissionError) return thrown
  return new ScissionError('badRequest', `the request was interrupted: ${coerceError(thrown).message}`)
}
