/**
 * Tables as CSV (RFC 4180): exact values, units in the heads, CRLF between lines.
 *
 * A spreadsheet takes a text that begins with `=`, `+`, `-`, `@`, a tab or a line end for a formula, and names come from
 * model files of others: such a text gets an apostrophe before it, which spreadsheets hide. Numbers stay as they are.
 */
import type { Cell } from './columns.ts'
import type { Table } from './table.ts'

export function csvText(table: Table): string {
  const columns = table.heads.flatMap(({ only }, column) => (only === 'text' ? [] : [column]))
  const heads = columns.flatMap((column) => table.heads[column] ?? [])
  const rows = table.rows.map((row) => columns.map((column) => row[column] ?? ''))
  const head = heads.map(({ name, unit }) => fieldOf(unit === undefined ? name : `${name} (${unit})`))
  const lines = [head, ...rows.map((row) => row.map((cell) => fieldOf(valueOf(cell))))]
  return lines.map((fields) => fields.join(',')).join('\r\n')
}

const valueOf = (cell: Cell): string | number => (typeof cell === 'object' ? cell.value : cell)

function fieldOf(value: string | number): string {
  if (typeof value === 'number') return String(value)
  const text = /^[=+\-@\t\r\n]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
