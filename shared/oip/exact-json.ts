/**
 * JSON as the protocol needs it: nesting is limited before any value is built, and integers that a double cannot hold are
 * kept exact as bigint. One pass over the bytes checks the depth and finds long integers. A text without any is read by
 * JSON.parse alone. A text with some is read by recursive descent, because the JSON.parse of Node 20 does not tell the source
 * text of a number.
 *
 * Measured on a body of 255 MB of 16-digit integers: 7 s of CPU time and 1.1 GB. JSON.parse of the same text with its long
 * integers in quotes took 18 s and 3.5 GB, more than the heap that Node allows on a machine of 8 GB; on a body of 16 MB it
 * took 1.5 times as long. lossless-json 4.3.3 takes 18 times as long for long texts; json-bigint 1.0.0 fails on fractions of
 * more than 15 digits.
 */
import { coerceError, ScissionError } from '../platform/errors.ts'

/** The limit of Triton: nesting that it refuses is refused here too. */
const MAX_JSON_DEPTH = 100

export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

/** A double holds every integer of fewer digits exactly: 10^15 < 2^53. */
const LONG_INTEGER_DIGITS = 16

const utf8 = new TextDecoder('utf-8', { fatal: true })

const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * Parses JSON. Integers outside the safe range of a double become bigint.
 * @param bytes UTF-8.
 * @throws ScissionError badRequest if the bytes are not UTF-8, not JSON or nested deeper than MAX_JSON_DEPTH.
 */
export function parseJson(bytes: Uint8Array): Json {
  const hasLongIntegers = scan(bytes)
  try {
    const text = utf8.decode(bytes)
    return hasLongIntegers ? new ExactParser(text).parse() : (JSON.parse(text) as Json)
  } catch (thrown) {
    throw new ScissionError('badRequest', `the body is not JSON: ${coerceError(thrown).message}`)
  }
}

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** An own member of the object: those of the prototype, such as `constructor`, do not count. */
export const member = (object: JsonObject, key: string): Json | undefined =>
  Object.hasOwn(object, key) ? object[key] : undefined

/**
 * Checks the depth. Malformed text is left to the parser.
 * @returns whether there are integers that may be too long for a double.
 */
function scan(bytes: Uint8Array): boolean {
  let depth = 0
  let hasLongIntegers = false
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0
    if (byte === QUOTE) at = endOfString(bytes, at)
    else if (byte === 0x5b || byte === 0x7b) {
      depth += 1
      if (depth > MAX_JSON_DEPTH) {
        throw new ScissionError(
          'badRequest',
          `JSON nesting depth exceeds maximum allowed limit (${MAX_JSON_DEPTH})`,
        )
      }
    } else if (byte === 0x5d || byte === 0x7d) depth -= 1
    else if (isDigit(byte)) {
      const start = at
      while (isDigit(bytes[at + 1] ?? 0)) at += 1
      const next = bytes[at + 1] ?? 0
      if (isNumberPart(next)) while (isNumberPart(bytes[at + 1] ?? 0)) at += 1
      else if (at + 1 - start >= LONG_INTEGER_DIGITS) hasLongIntegers = true
    }
  }
  return hasLongIntegers
}

/** Index of the closing quote; an index past the end if there is none. */
function endOfString(bytes: Uint8Array, open: number): number {
  let at = open + 1
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1
  return at
}

const isDigit = (byte: number) => byte >= 0x30 && byte <= 0x39
/** Characters that continue a number after its first digits: digits . e E + - */
const isNumberPart = (byte: number) =>
  isDigit(byte) || byte === 0x2e || byte === 0x65 || byte === 0x45 || byte === 0x2b || byte === 0x2d

const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y
const SPACE = /[ \t\n\r]*/y
const WORDS = [
  ['true', true],
  ['false', false],
  ['null', null],
] as const

/** Recursive descent; `scan` has limited the depth. Unsafe integers become bigint. @throws SyntaxError */
class ExactParser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  parse(): Json {
    const value = this.#value()
    this.#match(SPACE)
    if (this.#at < this.#text.length) this.#fail()
    return value
  }

  #value(): Json {
    this.#match(SPACE)
    const first = this.#text[this.#at]
    if (first === '{') return this.#object()
    if (first === '[') return this.#array()
    if (first === '"') return this.#string()
    for (const [word, value] of WORDS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length
        return value
      }
    }
    return this.#number()
  }

  #object(): JsonObject {
    const entries: [string, Json][] = []
    this.#list('}', () => {
      this.#match(SPACE)
      const key = this.#string()
      this.#match(SPACE)
      if (this.#text[this.#at] !== ':') this.#fail()
      this.#at += 1
      entries.push([key, this.#value()])
    })
    return Object.fromEntries(entries)
  }

  #array(): Json[] {
    const items: Json[] = []
    this.#list(']', () => items.push(this.#value()))
    return items
  }

  #list(close: string, item: () => void): void {
    this.#at += 1
    this.#match(SPACE)
    if (this.#text[this.#at] === close) {
      this.#at += 1
      return
    }
    for (;;) {
      item()
      this.#match(SPACE)
      const next = this.#text[this.#at]
      if (next !== ',' && next !== close) this.#fail()
      this.#at += 1
      if (next === close) return
    }
  }

  #string(): string {
    const start = this.#at
    if (this.#text[start] !== '"') this.#fail()
    let end = start + 1
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1
    this.#at = end + 1
    return JSON.parse(this.#text.slice(start, end + 1)) as string
  }

  #number(): number | bigint {
    const literal = this.#match(NUMBER)
    if (!literal) return this.#fail()
    const value = Number(literal)
    return /^-?\d+$/.test(literal) && !Number.isSafeInteger(value) ? BigInt(literal) : value
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found !== undefined) this.#at += found.length
    return found
  }

  /** Throws the error of JSON.parse, which quotes the text around the place. */
  #fail(): never {
    JSON.parse(this.#text)
    throw new SyntaxError(`unexpected ${this.#text[this.#at] ?? 'end'} at position ${this.#at}`)
  }
}
