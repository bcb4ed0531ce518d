/** Renders plain tables for terminals and log files: aligned columns, a rule under the head, no frame. */
import Table from 'cli-table3'
import colour from 'picocolors'

export type Cell = string | number

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '  ',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
}

/** Aligns numbers right and text left; prints `head` in bold if colours are on. */
export function renderTable(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const colAligns = head.map((_, column) =>
    rows.every((row) => looksNumeric(row[column])) ? ('right' as const) : ('left' as const),
  )
  const table = new Table({
    head: head.map((text) => colour.bold(text)),
    colAligns,
    chars: NO_BORDERS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  })
  table.push(...rows.map((row) => [...row]))
  return table.toString()
}

function looksNumeric(cell: Cell | undefined): boolean {
  return (
    typeof cell === 'number' ||
    (cell !== undefined && /^[<≤~]?-?[\d.,]+(e-?\d+)?( ?(ms|s|B|kB|MB|GB|Mbit\/s|x|%))?$/.test(cell))
  )
}
