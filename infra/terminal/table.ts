/** Tables for terminals and log files: aligned columns, no frame and no rules. What is wider than the terminal is fitted. */
import Table3 from 'cli-table3'
import colour from 'picocolors'
import stringWidth from 'string-width'
import { stripVTControlCharacters } from 'node:util'
import type { Cell, Column } from './columns.ts'
import { fitColumns } from './fit-columns.ts'
import { terminalWidth, wrapText } from './wrap.ts'

const EDGES = ['top', 'bottom', 'left', 'right'].flatMap((edge) => [edge, `${edge}-mid`])
const CORNERS = ['top-left', 'top-right', 'bottom-left', 'bottom-right', 'mid', 'mid-mid']
const GAP = '  '
const NO_BORDERS = {
  ...Object.fromEntries([...EDGES, ...CORNERS].map((name) => [name, ''])),
  left: GAP,
  middle: GAP,
}

/** Heads and rows, not yet laid out. */
export interface Table {
  heads: readonly { name: string; unit?: string; only?: 'csv' | 'text' }[]
  rows: readonly (readonly Cell[])[]
  /** Heads of columns that a narrow terminal may do without, the first to go first. */
  expendable: readonly string[]
  /** Said instead of a table without rows. */
  ifEmpty: string | undefined
}

export interface TableOptions {
  expendable?: readonly string[]
  ifEmpty?: string
  /** Heads of columns that only programs, or only people, get. */
  only?: Readonly<Record<string, 'csv' | 'text'>>
}

/**
 * One row for each item.
 * @param columns head → the item's cell.
 */
export function tableOf<T>(
  items: readonly T[],
  columns: Readonly<Record<string, Column<T>>>,
  { expendable = [], ifEmpty, only = {} }: TableOptions = {},
): Table {
  const all = Object.entries(columns)
  const heads = all.map(([name, column]) => ({
    name,
    ...(typeof column !== 'function' && { unit: column.unit }),
    ...(only[name] !== undefined && { only: only[name] }),
  }))
  const cells = all.map(([, column]) => (typeof column === 'function' ? column : column.cell))
  const rows = items.map((item, index) => cells.map((cell) => cell(item, index)))
  return { heads, rows, expendable, ifEmpty }
}

/** The table as text. @param width columns of the terminal. @defaultValue that of standard output. */
export function tableText(table: Table, width: number = terminalWidth()): string {
  const { heads, rows, expendable, ifEmpty } = table
  if (rows.length === 0 && ifEmpty !== undefined) return ifEmpty
  const shown = heads.flatMap((head, column) => (head.only === 'csv' ? [] : [column]))
  return layOut(
    shown.map((column) => heads[column]?.name ?? ''),
    rows.map((row) => shown.map((column) => textOf(row[column] ?? '').replaceAll('\n', '\\n'))),
    { expendable, width },
  )
}

/** The table of ready texts as text, for those that are no lists of items. */
export const renderTable = (
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string =>
  layOut(
    head,
    rows.map((row) => row.map(String)),
    { expendable: [], width: terminalWidth() },
  )

const textOf = (cell: Cell): string => (typeof cell === 'object' ? cell.text : String(cell))

interface Layout {
  expendable: readonly string[]
  width: number
}

/** Aligns numbers right and text left; prints heads in bold if colours are on. */
function layOut(heads: readonly string[], rows: readonly (readonly string[])[], layout: Layout): string {
  const isFigure = heads.map((_, column) => rows.every((row) => looksNumeric(row[column] ?? '')))
  const fitted = fitColumns(heads, rows, { ...layout, isFigure, gap: GAP.length })
  if (fitted === undefined) return recordsText(heads, rows)
  const { shown, cells, dropped } = fitted
  const table = new Table3({
    head: shown.map((column) => colour.bold(cells[0]?.[column] ?? '')),
    colAligns: shown.map((column) => (isFigure[column] ? 'right' : 'left')),
    chars: NO_BORDERS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  })
  table.push(...cells.slice(1).map((row) => shown.map((column) => row[column] ?? '')))
  const lines = table.toString().split('\n')
  // The padding of the last column is no content, and may be what does not fit.
  const text = lines.map((line) => line.trimEnd()).join('\n')
  return dropped.length === 0 ? text : `${text}\n${droppedText(dropped, layout.width)}`
}

const droppedText = (dropped: readonly string[], width: number) =>
  wrapText(`${GAP}left out for want of width: ${dropped.join(', ')}`, width)
    .split('\n')
    .map((line) => colour.dim(line))
    .join('\n')

/** For a terminal in which no two columns would fit: a line for each cell, rows one after another. */
function recordsText(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const named = heads.map((head, column) => (head === '' ? `(${column + 1})` : head))
  const width = Math.max(...named.map((head) => stringWidth(head)))
  return rows
    .map((row) =>
      row
        .flatMap((cell, column) =>
          cell === '' ? [] : [`${GAP}${colour.bold((named[column] ?? '').padEnd(width))}${GAP}${cell}`],
        )
        .join('\n'),
    )
    .join('\n\n')
}

function looksNumeric(cell: string): boolean {
  const text = stripVTControlCharacters(cell)
  return text === '' || /^[<≤~]?-?[\d.,]+(e-?\d+)?( ?(ms|s|B|kB|MB|GB|Mbit\/s|x|%))?$/.test(text)
}
