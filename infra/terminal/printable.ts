/**
 * Text that comes from outside (names in models, messages of services) without what would control a terminal: control
 * characters, and marks that reverse the direction of text, are shown as their escapes.
 */

/** Control characters but the line feed (also DEL and those of 8 bits), marks of direction, separators of lines. */
const CONTROLS = /(?!\n)[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu
const NAMED: Readonly<Record<string, string>> = { '\t': '\\t', '\r': '\\r' }

/** Line feeds stay: messages have lines. */
export const printableText = (text: string): string => text.replaceAll(CONTROLS, escapeOf)

/** One line: line feeds are escaped too. */
export const printableLine = (text: string): string => printableText(text).replaceAll('\n', '\\n')

function escapeOf(character: string): string {
  const code = character.charCodeAt(0)
  return NAMED[character] ?? (code < 0x1_00 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`)
}

const hex = (code: number, digits: number) => code.toString(16).padStart(digits, '0')

/** A copy of plain data (as of an answer in JSON) in which every text is one line that can be printed, keys too. */
export function printable<T>(value: T): T {
  return copy(value) as T
}

function copy(value: unknown): unknown {
  if (typeof value === 'string') return printableLine(value)
  if (Array.isArray(value)) return value.map(copy)
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [printableLine(key), copy(one)]))
}

/** JSON escapes the control characters below 32 by itself; in this form the others are escaped too, and it stays the same JSON. */
export const printableJson = (value: unknown): string =>
  JSON.stringify(value, null, 2).replaceAll(CONTROLS, (character) => `\\u${hex(character.charCodeAt(0), 4)}`)
