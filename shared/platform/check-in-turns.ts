/**
 * Long JSON documents, parsed and checked a piece at a time, so that nobody else waits. The structure of a model of 100,000 nodes
 * has 32 MB: read in one go it holds up all requests of a service for seconds. A thread would not help: what it hands over is
 * copied on this side, which takes longer than parsing it.
 *
 * The few lists that make a document long are cut out of the text between their elements; what is left is short.
 */
import { z } from 'zod'
import { check, type Checked, checkJson } from './outside-input.ts'
import { nextTurn, PIECE_CHARACTERS } from './turns.ts'

/** Long lists at the top of a document, by field, with the schema of their elements. */
export type LongLists = Readonly<Record<string, z.ZodType>>

/** How the long documents of a schema are checked. */
export interface LongDocument<T> {
  lists: LongLists
  /** The schema of the document, but for the elements of these lists: it takes anything as such. */
  frame: z.ZodType<T>
}

/** Shorter documents are read in one go. */
const SHORT_CHARACTERS = 4 * PIECE_CHARACTERS
/** Elements of a list that are checked in one go, if they are values already. */
const PIECE_ELEMENTS = 256

/** The same as `checkJson`, a piece at a time. Never throws. @param long undefined: it is checked in one go. */
export async function checkJsonInTurns<T>(
  schema: z.ZodType<T>,
  long: LongDocument<T> | undefined,
  text: string,
): Promise<Checked<T>> {
  if (!long || text.length < SHORT_CHARACTERS) return checkJson(schema, text)
  const { lists, frame } = long
  const fields = new Set(Object.keys(lists))
  const read = new Map<string, unknown[]>()
  let short = ''
  let from = 0
  for (const { field, open, pieces } of longLists(text, fields)) {
    const element = lists[field]
    if (!element) continue
    const values: unknown[] = []
    let end = open + 1
    for (const piece of pieces) {
      const fault = addPiece(values, field, element, text.slice(piece.from, piece.to))
      if (fault !== undefined) return { fault }
      end = piece.to
      await nextTurn()
    }
    read.set(field, values)
    short += text.slice(from, open + 1)
    from = end
  }
  const { value, fault } = checkJson(z.unknown(), short + text.slice(from))
  if (fault !== undefined) return { fault }
  // JSON may name a list in other ways than we write it, and more than once: what counts was not cut out then.
  const lengthOf = (field: string) => lengthOfList(value, field)
  const cutOut = new Map([...read].filter(([field]) => lengthOf(field) === 0))
  const document = withLists(value, cutOut)
  const isOverlooked = [...fields].some((field) => lengthOf(field) > 0)
  return isOverlooked ? checkInTurns(schema, long, document) : check(frame, document)
}

/** The same for a value, as `check` checks it. Parameters as above. Never throws. */
export async function checkInTurns<T>(
  schema: z.ZodType<T>,
  long: LongDocument<T> | undefined,
  input: unknown,
): Promise<Checked<T>> {
  const given = Object(input) as Record<string, unknown>
  const isLong = (field: string) => lengthOfList(input, field) > PIECE_ELEMENTS
  if (!long || !Object.keys(long.lists).some(isLong)) return check(schema, input)
  const read = new Map<string, unknown[]>()
  for (const [field, element] of Object.entries(long.lists)) {
    const list = given[field]
    if (!Array.isArray(list)) continue
    const values: unknown[] = []
    for (const one of list) {
      const { value, fault } = check(element, one, [field, values.length])
      if (fault !== undefined) return { fault }
      values.push(value)
      if (values.length % PIECE_ELEMENTS === 0) await nextTurn()
    }
    read.set(field, values)
  }
  return check(long.frame, withLists(given, read))
}

/** -1 if the field is no list. */
function lengthOfList(document: unknown, field: string): number {
  const list = (Object(document) as Record<string, unknown>)[field]
  return Array.isArray(list) ? list.length : -1
}

const withLists = (document: unknown, lists: ReadonlyMap<string, unknown[]>): unknown =>
  lists.size === 0 ? document : { ...(document as object), ...Object.fromEntries(lists) }

/** @returns a fault. */
function addPiece(values: unknown[], field: string, element: z.ZodType, piece: string): string | undefined {
  let found: unknown
  try {
    found = JSON.parse(`[${piece}]`)
  } catch {
    return `not JSON: element ${values.length} of ${field} or one of those behind it`
  }
  for (const one of found as unknown[]) {
    const { value, fault } = check(element, one, [field, values.length])
    if (fault !== undefined) return fault
    values.push(value)
  }
  // A comma with nothing behind it.
  return piece.trim() === '' && values.length > 0 ? `not JSON: ${field} ends in a comma` : undefined
}

interface FoundList {
  field: string
  /** Where its bracket is. */
  open: number
  /** Parts of it that end before a comma or its closing bracket; without that comma. To be read before the next list. */
  pieces: Generator<{ from: number; to: number }>
}

const QUOTE = 0x22
const OPENING = new Set([0x5b, 0x7b])
const CLOSING = new Set([0x5d, 0x7d])
const COMMA = 0x2c

/** The lists of these fields at the top level. Text that is no JSON gives anything, or nothing. */
function* longLists(text: string, fields: ReadonlySet<string>): Generator<FoundList> {
  let depth = 0
  let at = 0
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      const end = endOfText(text, at)
      const field = text.slice(at + 1, end - 1)
      at = end
      if (depth !== 1 || !fields.has(field)) continue
      const open = listAfter(text, end)
      if (open === undefined) continue
      const place = { at: open + 1 }
      yield { field, open, pieces: piecesFrom(text, place) }
      // Past its closing bracket: its opening one was not counted.
      at = place.at + 1
      continue
    }
    if (OPENING.has(code)) depth += 1
    else if (CLOSING.has(code)) depth -= 1
    at += 1
  }
}

/** @param place where the list's first element may begin; then where its closing bracket is. */
function* piecesFrom(text: string, place: { at: number }): Generator<{ from: number; to: number }> {
  let depth = 0
  let from = place.at
  let { at } = place
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      at = endOfText(text, at)
      continue
    }
    if (OPENING.has(code)) depth += 1
    else if (CLOSING.has(code)) {
      if (depth === 0) break
      depth -= 1
    } else if (code === COMMA && depth === 0 && at - from >= PIECE_CHARACTERS) {
      yield { from, to: at }
      from = at + 1
    }
    at += 1
  }
  place.at = at
  yield { from, to: at }
}

/** The place behind the text that begins here. */
function endOfText(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (end >= 0) {
    let escapes = 0
    while (text[end - 1 - escapes] === '\\') escapes += 1
    if (escapes % 2 === 0) return end + 1
    end = text.indexOf('"', end + 1)
  }
  return text.length
}

/** Where the list of a field begins, if a list is what it has. */
function listAfter(text: string, end: number): number | undefined {
  const found = /^\s*:\s*\[/.exec(text.slice(end, end + 20))
  return found ? end + found[0].length - 1 : undefined
}
