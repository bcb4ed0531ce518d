/** Breaks text to the width of a terminal, between words only. */
import stringWidth from 'string-width'

/** Columns of the terminal that standard output is; Infinity if it is none: what is piped is not cut. */
export function terminalWidth(stream: NodeJS.WriteStream = process.stdout): number {
  return stream.isTTY && stream.columns > 0 ? Math.max(stream.columns, MIN_WIDTH) : Number.POSITIVE_INFINITY
}

/** Narrower terminals get lines of this length. */
const MIN_WIDTH = 20
/** Stands for a space that must not be broken at, while text is broken. A character of no script. */
const BOUND = '\uE000'
/** A number and its unit, or both ends of a comparison, stay together. */
const FIGURE = /(?<=\d) (?=(ms|s|B|kB|MB|GB|Mbit\/s|J|%)(?![A-Za-z]))|(?<=[<>≤≥≈±~]) (?=\d)/g
const FURTHER_INDENT = '  '

/**
 * Wraps every line that is wider than `width`; the rest of it is indented a little further. A word that is wider by itself
 * (an id, a URL) stays whole on a line of its own, so that it can be copied.
 */
export function wrapText(text: string, width: number): string {
  if (!Number.isFinite(width)) return text
  return text
    .split('\n')
    .map((line) => (stringWidth(line) <= width ? line : wrapLine(line, width)))
    .join('\n')
}

function wrapLine(line: string, width: number): string {
  const indent = /^ */.exec(line)?.[0] ?? ''
  return linesOf(line.slice(indent.length), width - indent.length, FURTHER_INDENT)
    .map((part) => indent + part)
    .join('\n')
}

/** The same for a cell of a table: nothing is indented. */
export const wrapCell = (text: string, width: number): string => linesOf(text, width, '').join('\n')

function linesOf(text: string, width: number, furtherIndent: string): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of wordsOf(text)) {
    const longer = line === '' ? word : `${line} ${word}`
    if (line === '' || stringWidth(longer) <= width) line = longer
    else {
      lines.push(line)
      line = furtherIndent + word
    }
  }
  return [...lines, line].map((one) => one.replaceAll(BOUND, ' '))
}

const wordsOf = (text: string): string[] => text.replaceAll(FIGURE, BOUND).split(' ')

/** Width of the widest part that is not broken. */
export const widestWord = (text: string): number =>
  Math.max(0, ...wordsOf(text).map((word) => stringWidth(word)))
