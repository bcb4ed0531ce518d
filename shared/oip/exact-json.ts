/**
 * JSON as the protocol needs it: nesting is limited before any value is built, integers that a double cannot hold are kept
 * exact as bigint, and the bare words NaN, Infinity and -Infinity are numbers. They are no JSON, but Triton takes and writes
 * them, and Python's json module writes them. One pass over the bytes checks the depth and finds what JSON.parse would not
 * read so. A text without any of it is read by JSON.parse alone; any other one by exact-parser.ts.
 *
 * Measured on a body of 255 MB of 16-digit integers: 7 s of CPU time and 1.1 GB. JSON.parse of the same text with its long
 * integers in quotes took 18 s and 3.5 GB, more than the heap that Node allows on a machine of 8 GB; on a body of 16 MB it
 * took 1.5 times as long. lossless-json 4.3.3 takes 18 times as long for long texts; json-bigint 1.0.0 fails on fractions of
 * more than 15 digits.
 */
import { coerceError, ScissionError } from '../platform/errors.ts'
import { ExactParser, type Json, type JsonObject } from './exact-parser.ts'

/** The limit of Triton: nesting that it refuses is refused here too. */
const MAX_JSON_DEPTH = 100

export type { Json, JsonObject }

/** A double holds every integer of fewer digits exactly: 10^15 < 2^53. */
const LONG_INTEGER_DIGITS = 16
/**
 * A number with fewer digits before its point and in its exponent is below 10^308, the largest power of ten in a double.
 * Others may be too large, which JSON.parse makes Infinity.
 */
const LARGE_INTEGER_DIGITS = 200
const LARGE_EXPONENT_DIGITS = 3

const utf8 = new TextDecoder('utf-8', { fatal: true })

const QUOTE = 0x22
const POINT = 0x2e
const BACKSLASH = 0x5c

/**
 * Parses JSON. Integers outside the safe range of a double become bigint. NaN and infinity come only from these words: a
 * number past the range of a double is refused.
 * @param bytes UTF-8.
 * @throws ScissionError badRequest if the bytes are not UTF-8, not JSON or nested deeper than MAX_JSON_DEPTH.
 */
export function parseJson(bytes: Uint8Array): Json {
  const needsExactParser = scan(bytes)
  try {
    const text = utf8.decode(bytes)
    return needsExactParser ? new ExactParser(text).parse() : (JSON.parse(text) as Json)
  } catch (thrown) {
    throw new ScissionError('badRequest', `the body is not JSON: ${coerceError(thrown).message}`)
  }
}

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** An own member of the object: those of the prototype, such as `constructor`, do not count. */
export const member = (object: JsonObject, key: string): Json | undefined =>
  Object.hasOwn(object, key) ? object[key] : undefined

/** A member that may be absent. Many clients write null for a field that they do not set, so null is absent too. */
export const optionalMember = (object: JsonObject, key: string): Exclude<Json, null> | undefined =>
  member(object, key) ?? undefined

/**
 * Checks the depth. Malformed text is left to the parser.
 * @returns whether the text may have something that JSON.parse refuses or changes: integers too long for a double, numbers
 * too large for it, bare words for NaN and infinity.
 */
function scan(bytes: Uint8Array): boolean {
  let depth = 0
  let needsExactParser = false
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
      const integerEnd = endOfDigits(bytes, at)
      const digits = integerEnd - at
      at = integerEnd - 1
      if (isNumberPart(bytes[integerEnd] ?? 0)) {
        let exponentAt = 0
        while (isNumberPart(bytes[at + 1] ?? 0)) {
          at += 1
          if (!isDigit(bytes[at] ?? 0)) exponentAt = at + 1
        }
        const isExponent = bytes[exponentAt - 1] !== POINT
        if (isExponent && at + 1 - exponentAt >= LARGE_EXPONENT_DIGITS) needsExactParser = true
        if (digits >= LARGE_INTEGER_DIGITS) needsExactParser = true
      } else if (digits >= LONG_INTEGER_DIGITS) needsExactParser = true
    } else if (byte === 0x4e || byte === 0x49) needsExactParser = true // N, I
  }
  return needsExactParser
}

/** Index of the first byte from `start` on that is no digit. */
function endOfDigits(bytes: Uint8Array, start: number): number {
  let at = start
  while (isDigit(bytes[at] ?? 0)) at += 1
  return at
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
