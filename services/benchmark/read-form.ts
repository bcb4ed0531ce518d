/**
 * Reads multipart/form-data, for uploads of models and for calibrations. The request is never destroyed here, because a
 * request that is refused half-way still needs an answer.
 */
import type { IncomingMessage } from 'node:http'
import { PassThrough, type Readable } from 'node:stream'
import pLimit from 'p-limit'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'
import { boundaryOf, type FormEvent, formEvents, type PartHead } from './multipart.ts'

/** A limit on the number of parts. */
export interface PartsLimit {
  max: number
  /** How it is set, for the refusal. */
  setBy?: string
}
const PARTS: PartsLimit = { max: 1000 }
/** Parts whose content is consumed at the same time: each may hold an open file. */
const PARTS_AT_ONCE = 64
const FIELD_BYTES = 1024

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
 * Reads all parts. They come one after another; what is made of their content may take longer, so several are under way at a
 * time. The first error ends the reading of all.
 * @returns what the reader made of the parts, in their order.
 * @throws ScissionError badRequest; payloadTooLarge for too many parts or a field that nobody takes; what the reader throws;
 * the request's error if it was interrupted.
 */
export async function readForm<T>(req: IncomingMessage, reader: FormReader<T>): Promise<T[]> {
  const form = new Form(reader)
  const events = formEvents(
    req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>,
    boundaryOf(req.headers['content-type']),
  )
  try {
    await Promise.race([form.take(events), form.failed])
    return await Promise.race([Promise.all(form.parts), form.failed])
  } catch (thrown) {
    form.stop(coerceError(thrown))
    await Promise.allSettled(form.parts)
    throw thrown
  }
}

/** The parts of one form, of which the last is being received. */
class Form<T> {
  readonly parts: Promise<T>[] = []
  /** Rejects with the first error of a part. */
  readonly failed: Promise<never>
  #fail: (error: unknown) => void = () => {}
  readonly #reader: FormReader<T>
  readonly #limit: PartsLimit
  readonly #atOnce = pLimit(PARTS_AT_ONCE)
  readonly #streams = new Set<PassThrough>()
  #count = 0
  #stopped = false
  #file: PassThrough | undefined
  #field: { name: string; value: Buffer[]; bytes: number } | undefined

  constructor(reader: FormReader<T>) {
    this.#reader = reader
    this.#limit = reader.parts ?? PARTS
    this.failed = new Promise((_resolve, reject) => {
      this.#fail = reject
    })
    this.failed.catch(() => undefined)
  }

  async take(events: AsyncIterable<FormEvent>): Promise<void> {
    for await (const event of events) {
      if (this.#stopped) return
      if ('head' in event) this.#begin(event.head)
      else if ('content' in event) await this.#add(event.content)
      else this.#end()
    }
  }

  stop(error: Error): void {
    this.#stopped = true
    for (const stream of this.#streams) stream.destroy(error)
  }

  #begin({ field, filename, isFile }: PartHead): void {
    this.#count += 1
    if (this.#count > this.#limit.max) throw tooManyParts(this.#limit)
    if (!isFile) {
      this.#field = { name: field, value: [], bytes: 0 }
      return
    }
    const stream = new PassThrough()
    this.#file = stream
    this.#streams.add(stream)
    stream.on('error', () => undefined).once('close', () => this.#streams.delete(stream))
    this.#begun(this.#atOnce(() => this.#reader.onFile(field, stream, filename)))
  }

  #begun(part: Promise<T>): void {
    part.catch((error: unknown) => this.#fail(error))
    this.parts.push(part)
  }

  async #add(content: Buffer): Promise<void> {
    const file = this.#file
    if (file) {
      // A reader that has ended, well or not, takes no more.
      if (!file.destroyed && !file.write(content)) await writable(file)
      return
    }
    const { fieldBytes = FIELD_BYTES } = this.#reader
    const field = this.#field
    if (!field) throw tooLong(fieldBytes)
    field.value.push(content)
    field.bytes += content.length
    if (field.bytes > fieldBytes) this.#endField(field, true)
  }

  #end(): void {
    this.#file?.end()
    this.#file = undefined
    if (this.#field) this.#endField(this.#field, false)
  }

  #endField({ name, value }: { name: string; value: Buffer[] }, isCut: boolean): void {
    this.#field = undefined
    const { onField, fieldBytes = FIELD_BYTES } = this.#reader
    const text = Buffer.concat(value).subarray(0, fieldBytes).toString()
    if (onField) this.#begun(onField(name, text, isCut))
    else if (isCut) throw tooLong(fieldBytes)
  }
}

const tooLong = (fieldBytes: number) =>
  new ScissionError('payloadTooLarge', `a form field that is no file has more than ${fieldBytes} bytes`)

/** Resolves once it takes more, or takes nothing any more. */
const writable = (stream: PassThrough): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done).off('close', done)
      resolve()
    }
    stream.once('drain', done).once('close', done)
  })

function tooManyParts({ max, setBy }: PartsLimit): ScissionError {
  const how = setBy ? `; the limit is set by ${setBy}` : ''
  return new ScissionError('payloadTooLarge', `the form has more than ${max} parts${how}`, { limit: max })
}

/** The error of a request whose body could not be read to its end, if its reader threw no other. */
export function interrupted(thrown: unknown): ScissionError {
  if (thrown instanceof ScissionError) return thrown
  return new ScissionError('badRequest', `the request was interrupted: ${coerceError(thrown).message}`)
}
