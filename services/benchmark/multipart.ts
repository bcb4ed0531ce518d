/**
 * Parses multipart/form-data (RFC 7578) from the bytes of a request. What is damaged is refused as soon as that is sure, and so is
 * a form that ends too early: no part is left out silently. Memory holds a chunk of the body, or the head of a part.
 */
import { ScissionError } from '../../shared/platform/errors.ts'

/** What a part says of itself. */
export interface PartHead {
  field: string
  filename: string | undefined
  isFile: boolean
}

/** A part begins, goes on, or has ended. */
export type FormEvent = { head: PartHead } | { content: Buffer } | { end: true }

const MAX_HEAD_BYTES = 16 * 1024
/** A form begins with its boundary; some clients put an empty line before it. */
const MAX_PREAMBLE_BYTES = 4
const LINE_END = Buffer.from('\r\n')
const HEAD_END = Buffer.from('\r\n\r\n')
const DASH = '-'.charCodeAt(0)

const damaged = (why: string) => new ScissionError('badRequest', `the form cannot be read: ${why}`)

/** @param contentType the header. @throws ScissionError badRequest if it names no boundary. */
export function boundaryOf(contentType: string | undefined): string {
  const [, quoted, plain] = /;\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))/i.exec(contentType ?? '') ?? []
  const boundary = quoted ?? plain
  if (boundary !== undefined) return boundary
  throw damaged('its Content-Type names no boundary')
}

type State = 'preamble' | 'delimiter' | 'head' | 'content' | 'epilogue'

/** How a form that ends there is described. */
const ENDS: Readonly<Record<Exclude<State, 'epilogue'>, string>> = {
  preamble: 'it has no part',
  delimiter: 'it ends before its last boundary',
  head: 'it ends in the header of a part, or that has no empty line behind it',
  content: 'it ends in the middle of a part',
}

/** @throws ScissionError badRequest; what the source throws. */
export async function* formEvents(
  source: AsyncIterable<Buffer>,
  boundary: string,
): AsyncGenerator<FormEvent> {
  const scanner = new Scanner(boundary)
  for await (const chunk of source) yield* scanner.add(chunk)
  scanner.end()
}

class Scanner {
  readonly #delimiter: Buffer
  /** The first boundary may stand at the very beginning. */
  #rest: Buffer = LINE_END
  #state: State = 'preamble'
  #preambleBytes = 0

  constructor(boundary: string) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
  }

  *add(chunk: Buffer): Generator<FormEvent> {
    if (this.#state === 'epilogue') return
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    for (let moves = true; moves; ) moves = yield* this.#step()
  }

  end(): void {
    if (this.#state !== 'epilogue') throw damaged(ENDS[this.#state])
  }

  /** @returns false if it takes more bytes to go on. */
  *#step(): Generator<FormEvent, boolean> {
    switch (this.#state) {
      case 'preamble':
      case 'content':
        return yield* this.#upToDelimiter()
      case 'delimiter':
        return this.#afterDelimiter()
      case 'head':
        return yield* this.#head()
      case 'epilogue':
        this.#rest = Buffer.alloc(0)
        return false
    }
  }

  *#upToDelimiter(): Generator<FormEvent, boolean> {
    const at = this.#rest.indexOf(this.#delimiter)
    // The delimiter may have begun at the end of what is here.
    const sure = at < 0 ? Math.max(0, this.#rest.length - this.#delimiter.length + 1) : at
    if (this.#state === 'preamble') {
      this.#preambleBytes += sure
      if (this.#preambleBytes > MAX_PREAMBLE_BYTES) throw damaged('it does not begin with its boundary')
    } else if (sure > 0) yield { content: this.#take(sure, 0) }
    if (at < 0) {
      if (this.#state === 'preamble') this.#take(sure, 0)
      return false
    }
    if (this.#state === 'content') yield { end: true }
    this.#take(this.#state === 'preamble' ? sure : 0, this.#delimiter.length)
    this.#state = 'delimiter'
    return true
  }

  #afterDelimiter(): boolean {
    // Blanks may follow a boundary.
    let at = 0
    while (this.#rest[at] === 0x20 || this.#rest[at] === 0x09) at += 1
    if (at > MAX_HEAD_BYTES) throw damaged('a boundary is not followed by a line end')
    if (this.#rest.length < at + 2) return false
    const isLast = at === 0 && this.#rest[0] === DASH && this.#rest[1] === DASH
    if (!isLast && this.#rest.indexOf(LINE_END, at) !== at)
      throw damaged('a boundary is not followed by a line end')
    // The line end stays: a head without lines ends with it and the empty line.
    this.#take(at, 0)
    this.#state = isLast ? 'epilogue' : 'head'
    return true
  }

  *#head(): Generator<FormEvent, boolean> {
    const at = this.#rest.indexOf(HEAD_END)
    if (at > MAX_HEAD_BYTES || (at < 0 && this.#rest.length > MAX_HEAD_BYTES))
      throw damaged(`the header of a part has more than ${MAX_HEAD_BYTES} bytes, or no empty line behind it`)
    if (at < 0) return false
    const lines = this.#take(at, HEAD_END.length)
    this.#state = 'content'
    yield { head: headOf(lines.toString().split('\r\n').slice(1)) }
    return true
  }

  /** Takes bytes from the front, and drops those behind them. */
  #take(bytes: number, dropped: number): Buffer {
    const taken = this.#rest.subarray(0, bytes)
    this.#rest = this.#rest.subarray(bytes + dropped)
    return taken
  }
}

function headOf(lines: readonly string[]): PartHead {
  const values = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):\s*(.*)$/s.exec(line) ?? []
    if (name === undefined || value === undefined)
      throw damaged(`the header of a part has the line ${JSON.stringify(line.slice(0, 60))}`)
    values.set(name.toLowerCase(), value)
  }
  const [, list] = /^form-data\s*(.*)$/is.exec(values.get('content-disposition') ?? '') ?? []
  const parameters = list === undefined ? undefined : parametersOf(list)
  const field = parameters?.get('name')
  if (field === undefined)
    throw damaged('a part has no header "Content-Disposition: form-data; name=…" that can be read')
  const filename = parameters?.get('filename') ?? extendedValue(parameters?.get('filename*'))
  const isBytes = /^application\/octet-stream\b/i.test(values.get('content-type') ?? '')
  return { field, filename, isFile: filename !== undefined || isBytes }
}

const PARAMETER = /;\s*([\w!#$%&'*+.^`|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))\s*/y

/**
 * @param list `; name="a"; filename="b"`. Clients write a quote in a value as `%22`, and a percent sign as it is (WHATWG), or put
 * a backslash before it.
 */
function parametersOf(list: string): Map<string, string> | undefined {
  const parameters = new Map<string, string>()
  PARAMETER.lastIndex = 0
  while (PARAMETER.lastIndex < list.length) {
    const [, name = '', quoted, plain = ''] = PARAMETER.exec(list) ?? []
    if (name === '') return undefined
    const value = quoted === undefined ? plain : quoted.replaceAll(/\\(["\\])/g, '$1')
    parameters.set(name.toLowerCase(), value.replaceAll('%22', '"'))
  }
  return parameters
}

/** RFC 5987: `UTF-8''caf%C3%A9`. */
function extendedValue(text: string | undefined): string | undefined {
  const [, escaped] = /^UTF-8'[^']*'(.*)$/i.exec(text ?? '') ?? []
  if (escaped === undefined) return undefined
  try {
    return decodeURIComponent(escaped)
  } catch {
    throw damaged('the file name of a part is not in the form of RFC 5987')
  }
}
