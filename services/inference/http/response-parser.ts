/**
 * Parses one HTTP/1.1 response from the bytes of a connection (RFC 9112): the head, then a body by length, in chunks, or
 * until the connection ends. Bodies are passed on as they arrive; only an incomplete line is kept.
 */
import { ScissionError } from '../../../shared/platform/errors.ts'

export interface ResponseHead {
  status: number
  /** Names in lower case; values of repeated headers are joined by commas. */
  headers: Record<string, string>
  /** Length of the body; undefined if it is not known in advance. */
  length: number | undefined
  /** True if the connection can carry another exchange afterwards. */
  reusable: boolean
}

export interface ResponseReader {
  onHead: (head: ResponseHead) => void
  onBody: (chunk: Buffer) => void
}

const HEAD_LIMIT = 64 * 1024
const LINE_LIMIT = 1024
const HEAD_END = Buffer.from('\r\n\r\n')
const LINE_END = Buffer.from('\r\n')

type State = 'head' | 'length' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailer' | 'until-close' | 'done'

export class ResponseParser {
  readonly #reader: ResponseReader
  #state: State = 'head'
  /** An incomplete head or line. */
  #kept: Buffer | undefined
  /** Bytes left of the body or chunk. */
  #left = 0

  constructor(reader: ResponseReader) {
    this.#reader = reader
  }

  get done(): boolean {
    return this.#state === 'done'
  }

  /** @returns the number of bytes that are not part of the response. @throws ScissionError badRequest if it is not HTTP. */
  add(data: Buffer): number {
    let rest = data
    if (this.#kept) {
      rest = Buffer.concat([this.#kept, data])
      this.#kept = undefined
    }
    while (rest.length > 0 && this.#state !== 'done') {
      const next = this.#step(rest)
      if (next === undefined) return 0
      rest = next
    }
    return rest.length
  }

  /** Called at the end of the connection. @returns true if the response is complete. */
  end(): boolean {
    if (this.#state === 'until-close') this.#state = 'done'
    return this.#state === 'done'
  }

  /** @returns the remaining bytes; undefined if more bytes are needed. */
  #step(data: Buffer): Buffer | undefined {
    switch (this.#state) {
      case 'head':
        return this.#upTo(data, HEAD_END, HEAD_LIMIT, (text) => this.#head(text))
      case 'length':
        return this.#body(data, 'done')
      case 'chunk':
        return this.#body(data, 'chunk-end')
      case 'chunk-size':
        return this.#upTo(data, LINE_END, LINE_LIMIT, (line) => this.#chunkSize(line))
      case 'chunk-end':
        return this.#upTo(data, LINE_END, LINE_LIMIT, () => (this.#state = 'chunk-size'))
      case 'trailer':
        return this.#upTo(data, LINE_END, HEAD_LIMIT, (line) => line === '' && (this.#state = 'done'))
      case 'until-close':
        this.#reader.onBody(data)
        return data.subarray(data.length)
      case 'done':
        return data
    }
  }

  #upTo(data: Buffer, end: Buffer, limit: number, then: (text: string) => unknown): Buffer | undefined {
    const at = data.indexOf(end)
    if (at > limit || (at < 0 && data.length > limit)) throw broken('a line that does not end')
    if (at < 0) {
      this.#kept = data
      return undefined
    }
    then(data.toString('latin1', 0, at))
    return data.subarray(at + end.length)
  }

  #body(data: Buffer, whenComplete: State): Buffer {
    const part = data.length <= this.#left ? data : data.subarray(0, this.#left)
    this.#left -= part.length
    this.#reader.onBody(part)
    if (this.#left === 0) this.#state = whenComplete
    return data.subarray(part.length)
  }

  #head(text: string): void {
    const [first = '', ...lines] = text.split('\r\n')
    const status = Number(/^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first)?.[1])
    if (Number.isNaN(status)) throw broken(`"${first.slice(0, 40)}"`)
    // An interim response such as 100 Continue: another head follows.
    if (status < 200) return
    const headers = headersOf(lines)
    const chunked = headers['transfer-encoding']?.toLowerCase() === 'chunked'
    const length = status === 204 || status === 304 ? 0 : chunked ? undefined : lengthOf(headers)
    const closes = headers['connection']?.toLowerCase() === 'close' || first.startsWith('HTTP/1.0')
    const reusable = !closes && (chunked || length !== undefined)
    this.#left = length ?? 0
    this.#state = chunked ? 'chunk-size' : length === undefined ? 'until-close' : 'length'
    this.#reader.onHead({ status, headers, length, reusable })
    if (length === 0) this.#state = 'done'
  }

  #chunkSize(line: string): void {
    const size = /^([0-9a-fA-F]{1,13})\s*(?:;|$)/.exec(line)?.[1]
    if (size === undefined) throw broken(`a chunk of "${line.slice(0, 20)}" bytes`)
    this.#left = Number.parseInt(size, 16)
    this.#state = this.#left === 0 ? 'trailer' : 'chunk'
  }
}

function headersOf(lines: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = Object.create(null) as Record<string, string>
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon <= 0) throw broken(`a header line "${line.slice(0, 40)}"`)
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
  }
  return headers
}

function lengthOf(headers: Record<string, string>): number | undefined {
  const given = headers['content-length']
  if (headers['transfer-encoding'] !== undefined) throw broken('an unknown Transfer-Encoding')
  if (given === undefined) return undefined
  if (/^\d{1,15}$/.test(given)) return Number(given)
  throw broken(`a Content-Length of "${given.slice(0, 20)}"`)
}

const broken = (what: string) => new ScissionError('badRequest', `its answer is not HTTP: ${what}`)
